#include <string.h>

#include "lib/err.h"
#include "lib/verb.h"

static const struct verb *
verb_at(const struct verbs *v, size_t i)
{
	return (const struct verb *)(const void *)((const char *)v->array +
	                                           i * v->size);
}

const void *
verb_find(const struct verbs *v, const char *name, size_t narguments,
    struct err *err)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct verb *verb = verb_at(v, i);

		if (strcmp(verb->name, name) != 0)
			continue;
		if (narguments >= verb->least && narguments <= verb->most)
			return verb;
		(void)err_set(err, "%s takes other arguments: %s", verb->name,
		    verb->arguments);
		return NULL;
	}
	(void)err_set(err, "%s: no such command", name);
	return NULL;
}

void
verb_print(const struct verbs *v, FILE *out)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct verb *verb = verb_at(v, i);

		fprintf(out, "  %-12s %-24s %s\n", verb->name, verb->arguments,
		    verb->help);
	}
}
