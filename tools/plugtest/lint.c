/* lint.c - what a platform's file may hold, read from the file itself (64-bit ELF of this machine): one
 * exported symbol, nothing undefined but the pure string functions of libc, no writable data, no other
 * library. */
#include "plugtest.h"
#include "base/mem.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct image {
    const unsigned char *p;
    size_t n;
    const Elf64_Ehdr *eh;
    const Elf64_Shdr *sh;
    const char *names;
};

/* n things of that size at off, NULL when the file has not that much. */
static const void *span(const struct image *im, uint64_t off, uint64_t bytes)
{
    return off <= im->n && bytes <= im->n - off ? im->p + off : NULL;
}

static bool open_image(struct image *im, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *p = MAP_FAILED;

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > (off_t)sizeof(Elf64_Ehdr))
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        (void)close(fd);
    if (p == MAP_FAILED)
        return false;
    *im = (struct image){ .p = p, .n = (size_t)st.st_size, .eh = p };
    if (memcmp(im->p, ELFMAG, SELFMAG) != 0 || im->p[EI_CLASS] != ELFCLASS64)
        return false;
    im->sh = span(im, im->eh->e_shoff, (uint64_t)im->eh->e_shnum * sizeof *im->sh);
    if (!im->sh || im->eh->e_shstrndx >= im->eh->e_shnum)
        return false;
    im->names = span(im, im->sh[im->eh->e_shstrndx].sh_offset, im->sh[im->eh->e_shstrndx].sh_size);
    return im->names != NULL;
}

static const Elf64_Shdr *section(const struct image *im, uint32_t type)
{
    for (size_t i = 0; i < im->eh->e_shnum; i++)
        if (im->sh[i].sh_type == type)
            return &im->sh[i];
    return NULL;
}

static bool allowed_import(const char *name)
{
    static const char *const fine[] = {
        "memcpy",
        "memmove",
        "memset",
        "memcmp",
        "memchr",
        "strlen",
        "strnlen",
        "strcmp",
        "strncmp",
        "strcasecmp",
        "strncasecmp",
        "strchr",
        "strrchr",
        "strstr",
        "strspn",
        "strcspn",
        "strpbrk",
        "__stack_chk_fail",
        "__memcpy_chk",
        "__memmove_chk",
        "__memset_chk",
        "__cxa_finalize",
        "__gmon_start__",
        "_ITM_deregisterTMCloneTable",
        "_ITM_registerTMCloneTable",
    };

    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++)
        if (!strcmp(fine[i], name))
            return true;
    return false;
}

static bool instrumented(const char *name)
{
    return !strncmp(name, "__asan", 6) || !strncmp(name, "__ubsan", 7) || !strncmp(name, "__tsan", 6) ||
           !strncmp(name, "__gcov", 6) || !strncmp(name, "__sanitizer", 11) || !strncmp(name, "__llvm", 6);
}

static void lint_symbol(struct pt *pt, const Elf64_Sym *s, const char *name)
{
    unsigned bind = ELF64_ST_BIND(s->st_info);

    if (!*name || bind == STB_LOCAL)
        return;
    if (s->st_shndx == SHN_UNDEF && !allowed_import(name))
        pt_bad(pt, "%s: it needs %s; a platform uses grantd/platform.h only", pt->path, name);
    if (s->st_shndx != SHN_UNDEF && strcmp(name, "grantd_platform_v1") != 0)
        pt_bad(pt, "%s: it exports %s; one symbol, grantd_platform_v1, is right", pt->path, name);
}

/* False when the file was built to be watched: its symbols are the watcher's. */
static bool lint_symbols(struct pt *pt, const struct image *im)
{
    const Elf64_Shdr *dyn = section(im, SHT_DYNSYM);
    const Elf64_Sym *s = dyn ? span(im, dyn->sh_offset, dyn->sh_size) : NULL;
    const char *text = s ? span(im, im->sh[dyn->sh_link].sh_offset, im->sh[dyn->sh_link].sh_size) : NULL;
    size_t n = s ? dyn->sh_size / sizeof *s : 0, size = text ? im->sh[dyn->sh_link].sh_size : 0;

    for (size_t i = 0; i < n; i++)
        if (s[i].st_name < size && instrumented(text + s[i].st_name)) {
            printf("lint: %s is built with a sanitizer or for coverage: its symbols are not judged\n",
                   pt->path);
            return false;
        }
    for (size_t i = 0; i < n; i++)
        if (s[i].st_name < size)
            lint_symbol(pt, &s[i], text + s[i].st_name);
    return true;
}

static void lint_needed(struct pt *pt, const struct image *im)
{
    const Elf64_Shdr *d = section(im, SHT_DYNAMIC);
    const Elf64_Dyn *e = d ? span(im, d->sh_offset, d->sh_size) : NULL;
    const char *text = e ? span(im, im->sh[d->sh_link].sh_offset, im->sh[d->sh_link].sh_size) : NULL;

    for (size_t i = 0; text && i < d->sh_size / sizeof *e && e[i].d_tag != DT_NULL; i++)
        if (e[i].d_tag == DT_NEEDED && e[i].d_un.d_val < im->sh[d->sh_link].sh_size &&
            strcmp(text + e[i].d_un.d_val, "libc.so.6") != 0)
            pt_bad(pt, "%s: it is linked with %s; a platform links nothing", pt->path,
                   text + e[i].d_un.d_val);
}

static const char *section_name(const struct image *im, size_t i)
{
    const Elf64_Shdr *names = &im->sh[im->eh->e_shstrndx];

    return i < im->eh->e_shnum && im->sh[i].sh_name < names->sh_size ? im->names + im->sh[i].sh_name : "";
}

static bool writable_section(const char *name)
{
    return !strcmp(name, ".data") || !strcmp(name, ".bss") || !strcmp(name, ".tdata") ||
           !strcmp(name, ".tbss");
}

static bool of_the_runtime(const char *name)
{
    return !strncmp(name, "completed.", 10) || !strcmp(name, "__dso_handle") || !strcmp(name, "__TMC_END__");
}

/* By name, while the file has its symbols. */
static void lint_variables(struct pt *pt, const struct image *im, const Elf64_Shdr *tab)
{
    const Elf64_Sym *s = span(im, tab->sh_offset, tab->sh_size);
    const char *text = s ? span(im, im->sh[tab->sh_link].sh_offset, im->sh[tab->sh_link].sh_size) : NULL;

    for (size_t i = 0; text && i < tab->sh_size / sizeof *s; i++) {
        unsigned type = ELF64_ST_TYPE(s[i].st_info);
        const char *name = s[i].st_name < im->sh[tab->sh_link].sh_size ? text + s[i].st_name : "";

        if ((type == STT_OBJECT || type == STT_TLS) && writable_section(section_name(im, s[i].st_shndx)) &&
            !of_the_runtime(name))
            pt_bad(pt, "%s: it has a writable variable, %s; state belongs in op->state or notes", pt->path,
                   name);
    }
}

/* The C runtime's own few bytes stay below this. */
#define RUNTIME_BYTES 16

static void lint_data(struct pt *pt, const struct image *im)
{
    const Elf64_Shdr *tab = section(im, SHT_SYMTAB);

    if (tab && tab->sh_link < im->eh->e_shnum) {
        lint_variables(pt, im, tab);
        return;
    }
    for (size_t i = 0; i < im->eh->e_shnum; i++)
        if (writable_section(section_name(im, i)) && im->sh[i].sh_size > RUNTIME_BYTES)
            pt_bad(pt, "%s: it has %lu bytes of writable data; state belongs in op->state or notes", pt->path,
                   (unsigned long)im->sh[i].sh_size);
}

void pt_lint(struct pt *pt)
{
    struct image im = { 0 };

    if (!open_image(&im, pt->path)) {
        pt_bad(pt, "%s: it is no 64-bit ELF file with sections", pt->path);
    } else if (lint_symbols(pt, &im)) {
        lint_needed(pt, &im);
        lint_data(pt, &im);
    }
    if (im.p)
        (void)munmap((void *)(uintptr_t)im.p, im.n);
}

void pt_lint_tapes(struct pt *pt)
{
    static const char *const kinds[] = {
        "request", "grant", "refresh", "verify", "revoke", "scan", "notice"
    };
    bool seen[sizeof kinds / sizeof *kinds] = { false }, failure = false;

    for (size_t i = 0; i < pt->ntapes; i++) {
        seen[pt->tapes[i].kind] = true;
        failure = failure || !strcmp(gd_json_text(pt->tapes[i].golden, "end", ""), "failed");
    }
    seen[GD_OP_VERIFY] = seen[GD_OP_VERIFY] || !pt->platform->p.verify;
    seen[GD_OP_SCAN] = seen[GD_OP_SCAN] || !pt->platform->p.scan;
    seen[GD_OP_NOTICE] = seen[GD_OP_NOTICE] || !pt->platform->p.notice;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!seen[i])
            pt_bad(pt, "%s: there is no tape for %s", pt->path, kinds[i]);
    if (!failure)
        pt_bad(pt, "%s: there is no tape of something that fails", pt->path);
}
