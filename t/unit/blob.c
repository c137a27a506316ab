/*
 * blob: what was put is what is there, in memory or in a file; a disk that
 * fails is told of; one may give up at any time.
 */
#include <stdlib.h>
#include <unistd.h>

#include "lib/blob.h"
#include "lib/jobs.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/tap.h"

enum {
	SMALL = 10000, /* octets kept in memory */
	LARGE = 3 * 1024 * 1024
};

/* One that is filled, and what was heard of it. */
struct filling {
	struct loop *loop;
	struct jobs *jobs;
	struct blob *blob;
	size_t put, size, step;
	unsigned waits, dones;
	char why[500];
};

static uint8_t octets[LARGE];

static void
done(void *arg, const char *why)
{
	struct filling *f = arg;

	f->dones++;
	snprintf(f->why, sizeof(f->why), "%s", why == NULL ? "" : why);
	loop_stop(f->loop);
}

static void
fill(void *arg)
{
	struct filling *f = arg;

	while (f->put < f->size) {
		size_t n = f->size - f->put;

		if (blob_busy(f->blob, fill, f)) {
			f->waits++;
			return;
		}
		if (n > f->step)
			n = f->step;
		blob_put(f->blob, slice_of(octets + f->put, n));
		f->put += n;
	}
	blob_end(f->blob, done, f);
}

static void
begin(struct filling *f, const char *dir, size_t size, size_t step)
{
	*f = (struct filling){ .size = size, .step = step };
	f->loop = loop_new();
	f->jobs = jobs_new(f->loop, 2);
	f->blob = blob_new(f->jobs, dir, SMALL);
	fill(f);
}

static void
end(struct filling *f)
{
	blob_free(&f->blob);
	jobs_free(&f->jobs);
	loop_free(&f->loop);
}

static void
test_size(size_t size, size_t step)
{
	struct filling f;
	struct slice s;

	begin(&f, "/tmp", size, step);
	ok(f.dones == 0, "%zu: not from inside", size);
	loop_run(f.loop);
	ok(f.dones == 1 && f.why[0] == '\0', "done");
	s = blob_slice(f.blob);
	ok(blob_len(f.blob) == size && slice_equal(s, slice_of(octets, size)),
	    "all of it, as it was");
	ok(blob_in_memory(f.blob) == (size <= SMALL), "where it should be");
	ok((f.waits > 0) == (size >= LARGE), "waited %u times", f.waits);
	end(&f);
}

static void
test_here(void)
{
	struct filling f = { .loop = loop_new() };

	f.jobs = jobs_new(f.loop, 1);
	f.blob = blob_new(f.jobs, "/tmp", SMALL);
	blob_put(f.blob, slice_of(octets, SMALL));
	ok(blob_end_here(f.blob), "what is in memory ends at once");
	ok(slice_equal(blob_slice(f.blob), slice_of(octets, SMALL)),
	    "and can be read");
	blob_free(&f.blob);
	f.blob = blob_new(f.jobs, "/tmp", SMALL);
	blob_expect(f.blob, 3);
	for (size_t i = 0; i < 1000; i++)
		blob_put(f.blob, slice_of(octets + 7 * i, 7));
	ok(blob_end_here(f.blob) &&
	        slice_equal(blob_slice(f.blob), slice_of(octets, 7000)),
	    "more than was expected is taken");
	blob_free(&f.blob);
	f.blob = blob_new(f.jobs, "/tmp", SMALL);
	blob_expect(f.blob, UINT64_MAX);
	blob_put(f.blob, slice_of(octets, SMALL + 1));
	ok(!blob_end_here(f.blob), "what is not does not");
	blob_end(f.blob, done, &f);
	loop_run(f.loop);
	ok(f.dones == 1 && blob_len(f.blob) == SMALL + 1,
	    "and is ended as ever");
	end(&f);
}

static void
test_failure(void)
{
	struct filling f;

	begin(&f, "/nonexistent/dir", LARGE, 1000);
	loop_run(f.loop);
	ok(f.dones == 1 && strstr(f.why, "/nonexistent/dir") != NULL,
	    "a disk that fails is told of");
	ok(blob_len(f.blob) == LARGE, "and all was taken");
	end(&f);
	begin(&f, "/nonexistent/dir", SMALL, 1000);
	loop_run(f.loop);
	ok(f.dones == 1 && f.why[0] == '\0', "a small one needs none");
	end(&f);
}

/* Freed while jobs are on their way, at every size. */
static void
test_given_up(void)
{
	struct filling f;

	for (size_t size = 1; size < LARGE; size *= 3) {
		begin(&f, "/tmp", size, size);
		blob_free(&f.blob);
		ok(f.blob == NULL, "free clears");
		end(&f);
		ok(f.dones == 0, "given up at %zu", size);
	}
}

static void
test_refs(void)
{
	struct filling f;
	struct blob *other;

	begin(&f, "/tmp", LARGE, LARGE);
	loop_run(f.loop);
	other = blob_ref(f.blob);
	blob_free(&f.blob);
	ok(slice_equal(blob_slice(other), slice_of(octets, LARGE)),
	    "the last owner's still");
	blob_free(&other);
	end(&f);
}

int
main(void)
{
	for (size_t i = 0; i < LARGE; i++)
		octets[i] = (uint8_t)(i * 2654435761u >> 13);
	test_size(0, 1);
	test_size(1, 1);
	test_size(SMALL, 17);
	test_size(SMALL + 1, 17);
	test_size(200000, 1000);
	test_size(LARGE, 1000);
	test_size(LARGE, 400000);
	test_here();
	test_failure();
	test_given_up();
	test_refs();
	return done_testing();
}
