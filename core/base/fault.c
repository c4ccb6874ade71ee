/* base/fault.c - test builds only. */
#include "base/fault.h"

typedef int gd_fault_not_empty;

#ifdef GRANTD_FAULTS
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FAULTS_MAX 16

struct fault {
    char point[16], action[24];
    long arg;
    atomic_int left;
};

static struct fault faults[FAULTS_MAX];
static int nfaults;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* point:action[(arg)][:n] */
static void parse_one(char *text)
{
    char *point = strtok_r(text, ":", &text), *action = strtok_r(NULL, ":", &text),
         *n = strtok_r(NULL, ":", &text); /* check:allow */
    struct fault *f = &faults[nfaults];
    char *paren;

    if (!point || !action || strlen(point) >= sizeof f->point || strlen(action) >= sizeof f->action)
        return;
    memcpy(f->point, point, strlen(point) + 1);
    memcpy(f->action, action, strlen(action) + 1);
    paren = strchr(f->action, '(');
    if (paren) {
        *paren = '\0';
        f->arg = strtol(paren + 1, NULL, 10);
    }
    f->left = n ? (int)strtol(n, NULL, 10) : 1;
    nfaults++;
}

static void parse_all(void)
{
    const char *env = getenv("GRANTD_FAULT"); /* check:allow read once, test build */
    char *copy = env ? strdup(env) : NULL, *save = NULL;

    for (char *one = copy ? strtok_r(copy, ",", &save) : NULL; one && nfaults < FAULTS_MAX; /* check:allow */
         one = strtok_r(NULL, ",", &save))                                                  /* check:allow */
        parse_one(one);
    free(copy);
}

static int act(const struct fault *f)
{
    struct timespec ts = { f->arg / 1000, f->arg % 1000 * 1000000 };

    if (!strcmp(f->action, "kill9"))
        kill(getpid(), SIGKILL);
    else if (!strcmp(f->action, "freeze"))
        (void)raise(SIGSTOP); /* all threads, until somebody sends SIGCONT */
    else if (!strcmp(f->action, "abort"))
        abort();
    else if (!strcmp(f->action, "exit"))
        _exit(3);
    else if (!strcmp(f->action, "delay") || !strcmp(f->action, "stop"))
        nanosleep(&ts, NULL);
    else if (!strcmp(f->action, "eio"))
        return EIO;
    else if (!strcmp(f->action, "enospc"))
        return ENOSPC;
    return 0;
}

int gd_fault(const char *point)
{
    pthread_once(&once, parse_all);
    for (int i = 0; i < nfaults; i++)
        if (!strcmp(faults[i].point, point) && atomic_fetch_sub(&faults[i].left, 1) == 1)
            return act(&faults[i]);
    return 0;
}
#endif
