/*
 * log: what a line looks like, whatever its values are.
 */
#include <stdlib.h>
#include <unistd.h>

#include "lib/cdefs.h"
#include "lib/log.h"
#include "lib/must.h"
#include "t/tap.h"

/* What standard error was given since begin(). */
struct capture {
	FILE *file;
	int saved;
	char text[64 * 1024];
};

static void
begin(struct capture *c)
{
	c->file = tmpfile();
	MUST(c->file != NULL);
	c->saved = dup(STDERR_FILENO);
	MUST(dup2(fileno(c->file), STDERR_FILENO) != -1);
}

static void
end(struct capture *c)
{
	size_t n;

	MUST(dup2(c->saved, STDERR_FILENO) != -1);
	close(c->saved);
	rewind(c->file);
	n = fread(c->text, 1, sizeof(c->text) - 1, c->file);
	c->text[n] = '\0';
	fclose(c->file);
}

/* The text behind "TIME program[pid]: " of a line that has one value. */
static const char *
line_with(struct capture *c, const char *value)
{
	struct log *l = log_new("test", LOG_LEVEL_INFO, true);
	char *body;

	begin(c);
	log_info(l, "phrase", "key", value, NULL);
	end(c);
	log_free(&l);
	body = strstr(c->text, "]: ");
	MUST(body != NULL);
	return body + 3;
}

static void
test_values(void)
{
	static const char *const cases[][2] = {
		{ "abc", "phrase key=abc\n" },
		{ "", "phrase key=\"\"\n" },
		{ "a b", "phrase key=\"a b\"\n" },
		{ "a=b", "phrase key=\"a=b\"\n" },
		{ "say \"hi\"", "phrase key=\"say \\\"hi\\\"\"\n" },
		{ "back\\", "phrase key=\"back\\\\\"\n" },
		{ "x\r\nfake", "phrase key=\"x\\x0d\\x0afake\"\n" },
		{ "\x1b[31m", "phrase key=\"\\x1b[31m\"\n" },
		{ "caf\xc3\xa9", "phrase key=\"caf\xc3\xa9\"\n" },
		{ "\xc2\x9bm", "phrase key=\"\\xc2\\x9bm\"\n" },
		{ "\xff\xc3", "phrase key=\"\\xff\\xc3\"\n" },
		{ NULL, "phrase\n" },
	};
	static struct capture c;
	char longish[300];

	for (size_t i = 0; i < NITEMS(cases); i++)
		is_str(line_with(&c, cases[i][0]), cases[i][1], "value");
	memset(longish, 'a', sizeof(longish));
	longish[sizeof(longish) - 1] = '\0';
	ok(strlen(line_with(&c, longish)) ==
	        strlen("phrase key=\"\"\n") + 200 + 3,
	    "a long value is cut");
	ok(strstr(c.text, "aaa...\"\n") != NULL, "and one can see it");
	ok(c.text[10] == 'T' && c.text[23] == 'Z', "a time in front");
	ok(strstr(c.text, " test[") != NULL, "and the program");
}

static void
test_helpers(void)
{
	char octets[300];

	is_str(LOG_NUM(-5), "-5", "number");
	is_str(LOG_SLICE(slice_str("joe")), "joe", "slice");
	is_str(LOG_SLICE(slice_of("a\0b", 3)), "a?b", "slice with a NUL");
	is_str(LOG_SLICE(slice_of(NULL, 0)), "", "empty slice");
	memset(octets, 'a', sizeof(octets));
	ok(strlen(LOG_SLICE(slice_of(octets, sizeof(octets)))) == 201,
	    "long slice");
}

static size_t
lines(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static void
test_levels(void)
{
	struct log *l = log_new("test", LOG_LEVEL_WARN, true);
	static struct capture c;
	enum log_level level;

	begin(&c);
	log_info(l, "not this", NULL);
	log_debug(l, "nor this", NULL);
	log_warn(l, "but this", NULL);
	log_err(l, "and this", NULL);
	log_set_level(l, LOG_LEVEL_DEBUG);
	log_debug(l, "and now this", NULL);
	end(&c);
	ok(lines(c.text) == 3, "at or above the level");
	ok(log_level_named("warn", &level) && level == LOG_LEVEL_WARN, "named");
	ok(!log_level_named("loud", &level), "no such name");
	log_free(&l);
	ok(l == NULL, "free clears");
}

/* A second may end in between, so up to two seconds' worth comes out. */
static void
test_rate(void)
{
	struct log *l = log_new("test", LOG_LEVEL_INFO, true);
	static struct capture c;

	begin(&c);
	for (int i = 0; i < 1000; i++)
		log_warn(l, "again", NULL);
	for (int i = 0; i < 15; i++)
		log_info(l, "harmless", NULL);
	log_warn(l, "another", NULL);
	end(&c);
	ok(lines(c.text) >= 10 + 16 && lines(c.text) <= 30 + 16, "limited");
	ok(strstr(c.text, "another") != NULL, "each phrase for itself");
	log_free(&l);
}

int
main(void)
{
	test_values();
	test_helpers();
	test_levels();
	test_rate();
	return done_testing();
}
