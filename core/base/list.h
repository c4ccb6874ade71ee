/* base/list.h - an intrusive doubly linked list; a node that is in no list points at itself. */
#ifndef GD_BASE_LIST_H
#define GD_BASE_LIST_H

#include <stdbool.h>

struct gd_list {
    struct gd_list *next, *prev;
};

static inline void gd_list_init(struct gd_list *l)
{
    l->next = l->prev = l;
}
static inline bool gd_list_empty(const struct gd_list *l)
{
    return l->next == l;
}
/* Appends at the end of the list. */
static inline void gd_list_add(struct gd_list *list, struct gd_list *n)
{
    n->prev = list->prev;
    n->next = list;
    list->prev->next = n;
    list->prev = n;
}
static inline void gd_list_del(struct gd_list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    gd_list_init(n);
}
/* Moves everything to the (empty) list to. */
static inline void gd_list_take(struct gd_list *to, struct gd_list *from)
{
    gd_list_init(to);
    if (gd_list_empty(from))
        return;
    *to = *from;
    to->next->prev = to->prev->next = to;
    gd_list_init(from);
}
static inline struct gd_list *gd_list_pop(struct gd_list *l)
{
    struct gd_list *n = l->next;

    if (n == l)
        return (struct gd_list *)0;
    gd_list_del(n);
    return n;
}
#define gd_list_each(it, list) for (struct gd_list *it = (list)->next; it != (list); it = it->next)

#endif
