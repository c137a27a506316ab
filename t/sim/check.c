#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "t/sim/check.h"
#include "t/sim/load.h"
#include "t/sim/murder.h"
#include "t/sim/store.h"
#include "t/sim/trove.h"
#include "t/sim/view.h"

static char text[512];

static struct {
	struct view update, backends[BACKENDS_MAX], fronts[FRONTS_MAX];
} all;

static const char *no(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

static const char *
no(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	return text;
}

static bool
collect(void)
{
	if (!view_update(&all.update))
		return false;
	for (unsigned i = 0; i < murder_backends(); i++)
		if (!view_backend(&all.backends[i], i, ""))
			return false;
	for (unsigned i = 0; i < murder_fronts(); i++)
		if (!view_front(&all.fronts[i], i, ""))
			return false;
	return true;
}

static void
forget(void)
{
	view_fini(&all.update);
	for (unsigned i = 0; i < BACKENDS_MAX; i++)
		view_fini(&all.backends[i]);
	for (unsigned i = 0; i < FRONTS_MAX; i++)
		view_fini(&all.fronts[i]);
}

/* --- listed, and there ------------------------------------------------------ */

static const char *
check_listed(const struct box *b)
{
	unsigned i = (unsigned)(b->place[2] - '0');
	const struct box *there;

	if (!b->active)
		return no("a leaked reservation: %s at %s", b->name, b->place);
	if (i >= murder_backends())
		return no("%s is at no backend: %s", b->name, b->place);
	there = view_find(&all.backends[i], b->name);
	if (there == NULL)
		return no("listed without data: %s at %s", b->name, b->place);
	if (strcmp(b->acl, there->acl) != 0)
		return no("%s has another ACL at %s", b->name, b->place);
	return NULL;
}

static const char *
check_there(unsigned i, const struct box *b)
{
	const struct box *listed = view_find(&all.update, b->name);
	char spool[64];

	snprintf(spool, sizeof(spool), "/sim/be%u/spool", i);
	if (!sim_store_has(spool, b->id))
		return no("%s at be%u: its data are gone", b->name, i);
	if (view_is_quarantined(b->name))
		return listed == NULL
		           ? NULL
		           : no("quarantined and listed: %s", b->name);
	if (listed == NULL)
		return no("data unlisted: %s at be%u", b->name, i);
	if (strcmp(listed->place, b->place) != 0)
		return no("two have it: %s at be%u, listed at %s", b->name, i,
		    listed->place);
	return NULL;
}

/* --- what the store has that no name leads to ------------------------------ */

static bool
is_named(void *arg, const char *id)
{
	const struct view *v = arg;

	for (size_t i = 0; i < v->count; i++)
		if (strcmp(v->boxes[i].id, id) == 0)
			return true;
	(void)no("data that no name leads to: %s", id);
	return false;
}

static const char *
check_store(unsigned i)
{
	char spool[64];

	text[0] = '\0';
	snprintf(spool, sizeof(spool), "/sim/be%u/spool", i);
	sim_store_each(spool, is_named, &all.backends[i]);
	return text[0] == '\0' ? NULL : text;
}

/* --- copies ---------------------------------------------------------------- */

static const char *
check_copy(unsigned i)
{
	const struct view *v = &all.fronts[i];

	for (size_t k = 0; k < all.update.count; k++) {
		const struct box *b = &all.update.boxes[k];
		const struct box *copy = view_find(v, b->name);

		if (copy == NULL)
			return no("fe%u lacks %s", i, b->name);
		if (strcmp(copy->place, b->place) != 0 ||
		    strcmp(copy->acl, b->acl) != 0 || copy->active != b->active)
			return no("fe%u has %s otherwise", i, b->name);
	}
	for (size_t k = 0; k < v->count; k++)
		if (view_find(&all.update, v->boxes[k].name) == NULL)
			return no("fe%u has %s, which is not listed", i,
			    v->boxes[k].name);
	return NULL;
}

static const char *
check_collected(void)
{
	const char *why = NULL;

	for (size_t k = 0; k < all.update.count && why == NULL; k++)
		why = check_listed(&all.update.boxes[k]);
	for (unsigned i = 0; i < murder_backends() && why == NULL; i++) {
		for (size_t k = 0; k < all.backends[i].count && why == NULL;
		     k++)
			why = check_there(i, &all.backends[i].boxes[k]);
		if (why == NULL)
			why = check_store(i);
	}
	for (unsigned i = 0; i < murder_fronts() && why == NULL; i++)
		why = check_copy(i);
	if (why == NULL)
		why = trove_lacks();
	return why != NULL ? why : load_disagrees();
}

const char *
check_all(void)
{
	const char *why = "something is down";

	if (murder_is_up() && collect())
		why = check_collected();
	forget();
	return why;
}
