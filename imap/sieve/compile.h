/*
 * compile: the compiler's state, for its two files.
 *
 * compile.c has what commands, blocks and tests are made of, args.c what stands
 * between a word and its semicolon.
 */
#ifndef IMAP_SIEVE_COMPILE_H
#define IMAP_SIEVE_COMPILE_H

#include "imap/sieve/lex.h"
#include "imap/sieve/program.h"

enum {
	ARGS_MAX = 20,
	NESTING_MAX = 128 /* above any limits.nesting */
};

/* Something inside which we are. */
enum frame_kind {
	FRAME_BLOCK, /* commands, to "}" or the end of the script */
	FRAME_IF,    /* from "if" to the end of its last block */
	FRAME_ELSE,  /* the same, after its "else" */
	FRAME_ALLOF,
	FRAME_ANYOF,
	FRAME_NOT
};

struct frame {
	enum frame_kind kind;
	/* Jumps to be aimed, each naming the one before as its target. */
	unsigned to_end;
	unsigned to_next; /* IF: to the next elsif or else */
};

/* What is to come. */
enum expect {
	EXPECT_COMMAND,
	EXPECT_TEST,
	EXPECT_AFTER_TEST,
	EXPECT_AFTER_BLOCK,
	EXPECT_NOTHING
};

struct argument {
	unsigned line;
	uint8_t kind; /* 'T'ag, 'N'umber, 'S'tring, 'L'ist */
	struct slice tag;
	uint64_t number;
	struct sieve_strings strings;
};

struct compiler {
	struct sieve *sieve;
	const struct sieve_limits *limits;
	struct sieve_error *error;
	bool failed;
	struct lex lex;
	struct lex_token token; /* the next one */
	struct sieve_instr *code;
	unsigned count, room;
	unsigned nodes;
	struct frame frames[NESTING_MAX];
	unsigned depth;
	bool begun; /* a command other than require was there */
	struct argument args[ARGS_MAX];
	unsigned nargs;
};

/* compile.c: the first failure stays. */
void compile_fail(struct compiler *c, unsigned line, const char *what,
    struct slice name);
void compile_fail_here(struct compiler *c, const char *what);
void compile_advance(struct compiler *c);
void compile_count_node(struct compiler *c);
bool compile_at_mark(const struct compiler *c, uint8_t mark);
void compile_take_mark(struct compiler *c, uint8_t mark, const char *missing);
bool compile_is_required(const struct compiler *c, enum sieve_extension_id id);

/* args.c: arguments, into c->args, up to what cannot be one. */
void compile_arguments(struct compiler *c);

/* Does an argument of this kind do where that is wanted? */
bool compile_is_quantity(uint8_t wanted, uint8_t kind);

/* The word is taken, its arguments are next: the instruction it makes. */
void compile_call(struct compiler *c, const struct sieve_word *word,
    unsigned line, struct sieve_instr *in);

#endif
