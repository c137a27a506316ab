/*
 * conf: what is printed parses to the same; every wrong line is named.
 */
#include <stdlib.h>
#include <unistd.h>

#include "lib/cdefs.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "t/tap.h"

struct example {
	char *name, *none;
	struct conf_list addresses, empty;
	bool yes;
	uint64_t number, size, duration;
	int choice;
};

static int
check(const void *conf, struct err *err)
{
	const struct example *x = conf;

	if (x->number == 13)
		return err_set(err, "number may not be 13");
	return 0;
}

static const struct conf_item items[] = {
	{ "name", CONF_STRING, offsetof(struct example, name), "joe", 0, 0,
	    NULL, "A name." },
	{ "none", CONF_STRING, offsetof(struct example, none), NULL, 0, 0, NULL,
	    "Nothing unless said." },
	{ "address", CONF_LIST, offsetof(struct example, addresses),
	    "127.0.0.1:143", 0, 0, NULL,
	    "Addresses to listen on, with a help text that is rather longer "
	    "than a line and has to be broken somewhere." },
	{ "empty", CONF_LIST, offsetof(struct example, empty), NULL, 0, 0, NULL,
	    NULL },
	{ "yes", CONF_BOOL, offsetof(struct example, yes), "no", 0, 0, NULL,
	    NULL },
	{ "number", CONF_NUMBER, offsetof(struct example, number), "5", 1, 100,
	    NULL, NULL },
	{ "size", CONF_SIZE, offsetof(struct example, size), "64k", 1,
	    1ull << 50, NULL, NULL },
	{ "duration", CONF_DURATION, offsetof(struct example, duration), "30s",
	    0, 0, NULL, NULL },
	{ "choice", CONF_CHOICE, offsetof(struct example, choice), "maildir", 0,
	    0, "spool maildir", NULL },
};

static const struct conf_table table = { items, NITEMS(items),
	sizeof(struct example), check };

static void
test_presets(void)
{
	struct err err;
	void *conf = conf_parse(&table, "f", slice_of(NULL, 0), &err);
	struct example *x = conf;

	ok(x != NULL, "an empty file");
	MUST(x != NULL);
	is_str(x->name, "joe", "string");
	ok(x->none == NULL && x->empty.count == 0, "unset");
	ok(x->addresses.count == 1, "list");
	ok(!x->yes && x->number == 5 && x->size == 65536 &&
	        x->duration == 30000 && x->choice == 1,
	    "the others");
	conf_free(&table, &conf);
	ok(conf == NULL, "free clears");
}

static void
test_values(void)
{
	static const char text[] = "# comment\n"
	                           "\n"
	                           "  name =  a # b = c  \r\n"
	                           "none=\"\"\n"
	                           "address = [::1]:143\n"
	                           "yes = yes\n"
	                           "address = *:143\n"
	                           "number=100\n"
	                           "size = 50M\n"
	                           "duration = 3d\n"
	                           "choice = spool";
	struct err err;
	void *conf = conf_parse(&table, "f", slice_str(text), &err);
	struct example *x = conf;

	MUST(x != NULL);
	is_str(x->name, "a # b = c", "the rest of the line, trimmed");
	is_str(x->none, "", "an empty string");
	ok(x->addresses.count == 2, "a list replaces its preset");
	is_str(x->addresses.items[0], "[::1]:143", "first");
	is_str(x->addresses.items[1], "*:143", "second");
	ok(x->yes && x->number == 100 && x->size == 50u << 20 &&
	        x->duration == 3 * 86400000 && x->choice == 0,
	    "the others");
	conf_free(&table, &conf);
}

static void
test_units(void)
{
	static const struct {
		const char *text;
		uint64_t size, duration;
	} cases[] = {
		{ "size = 10", 10, 30000 },
		{ "size = 2G", 2ull << 30, 30000 },
		{ "size = 1T", 1ull << 40, 30000 },
		{ "size = 64K", 65536, 30000 },
		{ "duration = 500ms", 65536, 500 },
		{ "duration = 5m", 65536, 300000 },
		{ "duration = 1h", 65536, 3600000 },
		{ "duration = 0s", 65536, 0 },
		{ "duration = 0", 65536, 0 },
	};

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct err err;
		void *conf =
		    conf_parse(&table, "f", slice_str(cases[i].text), &err);
		struct example *x = conf;

		ok(x != NULL && x->size == cases[i].size &&
		        x->duration == cases[i].duration,
		    "%s", cases[i].text);
		conf_free(&table, &conf);
	}
}

static void
test_errors(void)
{
	static const char *const cases[][2] = {
		{ "nome = x", "f:1: there is no option \"nome\"" },
		{ "\nname", "f:2: \"name\" is not: name = value" },
		{ "name =", "f:1: name has no value; "
		            "write \"\" for an empty one" },
		{ "name = a\nname = b", "f:2: name was set in line 1 already" },
		{ "yes = true", "f:1: yes needs \"yes\" or \"no\", "
		                "not \"true\"" },
		{ "number = 0", "f:1: number must be between 1 and 100" },
		{ "number = 101", "f:1: number must be between 1 and 100" },
		{ "number = -1", "f:1: number needs a number, not \"-1\"" },
		{ "number = \"\"", "f:1: number needs a number, not \"\"" },
		{ "size = 0", "f:1: size must be between 1 and 1024T" },
		{ "size = 5x", "f:1: size needs a size like 64k, 50M or 2G, "
		               "not \"5x\"" },
		{ "size = 99999999999999T",
		    "f:1: size needs a size like 64k, 50M or 2G, "
		    "not \"99999999999999T\"" },
		{ "duration = 5", "f:1: duration needs a duration like 500ms, "
		                  "30s, 5m or 1h, not \"5\"" },
		{ "choice = dbox",
		    "f:1: choice must be one of: spool maildir" },
		{ "choice = ", "f:1: choice has no value; "
		               "write \"\" for an empty one" },
		{ "number = 13", "f: number may not be 13" },
		{ "nome = x\nyes = 1\nname = x",
		    "f:1: there is no option \"nome\"\n"
		    "f:2: yes needs \"yes\" or \"no\", not \"1\"" },
	};
	struct err err;

	for (size_t i = 0; i < NITEMS(cases); i++) {
		void *conf =
		    conf_parse(&table, "f", slice_str(cases[i][0]), &err);

		ok(conf == NULL, "refused");
		is_str(err.text, cases[i][1], "and why");
		conf_free(&table, &conf);
	}
	ok(conf_parse(&table, "f", slice_of("name = a\0b", 10), &err) == NULL,
	    "a NUL");
}

static void
test_printed(void)
{
	static const char *const cases[] = { "", "none = \"\"",
		"address = a\naddress = b\nempty = c", "address = \"\"",
		"size = 1025\nduration = 90s\nyes = yes\nchoice = spool" };
	struct err err;

	for (size_t i = 0; i < NITEMS(cases); i++) {
		char first[4096] = "", second[4096] = "";
		void *conf = conf_parse(&table, "f", slice_str(cases[i]), &err);
		FILE *f = fmemopen(first, sizeof(first), "w");

		MUST(conf != NULL && f != NULL);
		conf_print(&table, conf, f);
		fclose(f);
		conf_free(&table, &conf);
		conf = conf_parse(&table, "f", slice_str(first), &err);
		ok(conf != NULL, "what is printed parses");
		MUST(conf != NULL);
		f = fmemopen(second, sizeof(second), "w");
		MUST(f != NULL);
		conf_print(&table, conf, f);
		fclose(f);
		conf_free(&table, &conf);
		is_str(second, first, "to the same");
	}
}

static void
test_files(void)
{
	char name[] = "/tmp/conf.XXXXXX";
	int fd = mkstemp(name);
	struct err err;
	void *conf;

	MUST(fd != -1);
	MUST(write(fd, "number = 7\n", 11) == 11);
	conf = conf_read(&table, name, &err);
	ok(conf != NULL && ((struct example *)conf)->number == 7, "a file");
	conf_free(&table, &conf);
	MUST(ftruncate(fd, 2 * 1024 * 1024) == 0);
	ok(conf_read(&table, name, &err) == NULL, "too large");
	close(fd);
	unlink(name);
	ok(conf_read(&table, name, &err) == NULL, "no such file");
	ok(strstr(err.text, "No such file") != NULL, "is said");
}

int
main(void)
{
	test_presets();
	test_values();
	test_units();
	test_errors();
	test_printed();
	test_files();
	return done_testing();
}
