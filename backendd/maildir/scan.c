/*
 * What other programs did to the files of a mailbox.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "lib/ascii.h"
#include "lib/hash.h"
#include "lib/must.h"
#include "lib/xalloc.h"

int
md_times(int dirfd, struct md_times *t, struct err *err)
{
	struct stat cur, new;

	if (fstatat(dirfd, "cur", &cur, 0) == -1 ||
	    fstatat(dirfd, "new", &new, 0) == -1)
		return err_sys(err, "looking at cur and new");
	t->cur = cur.st_mtim;
	t->new = new.st_mtim;
	return 0;
}

bool
md_times_equal(const struct md_times *a, const struct md_times *b)
{
	return a->cur.tv_sec == b->cur.tv_sec &&
	       a->cur.tv_nsec == b->cur.tv_nsec &&
	       a->new.tv_sec == b->new.tv_sec &&
	       a->new.tv_nsec == b->new.tv_nsec;
}

/* ---- flags and letters ---- */

static const struct {
	char letter;
	uint32_t flag;
} flags[] = { { 'D', STORE_DRAFT }, { 'F', STORE_FLAGGED },
	{ 'R', STORE_ANSWERED }, { 'S', STORE_SEEN }, { 'T', STORE_DELETED } };

static uint64_t
keyword_bit(unsigned letter)
{
	return (uint64_t)1 << (26 + letter);
}

static int
letter_of(struct md_keywords *k, const char *name, bool wanted)
{
	int found = -1;

	for (int i = 0; i < MD_LETTERS; i++) {
		if (k->names[i] == NULL && k->foreign[i] == NULL && found == -1)
			found = i;
		if (k->names[i] != NULL && strcasecmp(k->names[i], name) == 0)
			return i;
	}
	if (found == -1 || !wanted)
		return -1;
	k->names[found] = xstrdup(name);
	k->changed = true;
	return found;
}

/* Keywords that a name has no room for are in the index alone. */
static uint64_t
letters_with_room(uint64_t letters, const char *name)
{
	size_t len = strlen(name) + 3;

	for (unsigned i = 0; i < 52; i++)
		len += letters >> i & 1;
	for (unsigned i = MD_LETTERS; i-- > 0 && len > MD_FILE_NAME;) {
		len -= (letters & keyword_bit(i)) != 0;
		letters &= ~keyword_bit(i);
	}
	return letters;
}

uint64_t
md_letters_for(const struct store_msg *m, const char *name,
    char *const *keywords, unsigned nkeywords, struct md_keywords *k)
{
	uint64_t letters = m->place[0];

	for (size_t i = 0; i < NITEMS(flags); i++) {
		uint64_t bit = (uint64_t)1 << (flags[i].letter - 'A');

		letters =
		    m->flags & flags[i].flag ? letters | bit : letters & ~bit;
	}
	for (unsigned i = 0; i < nkeywords; i++) {
		bool has = m->keywords[i / 64] >> (i % 64) & 1;
		int letter = letter_of(k, keywords[i], has);

		if (letter != -1 && has)
			letters |= keyword_bit((unsigned)letter);
		else if (letter != -1)
			letters &= ~keyword_bit((unsigned)letter);
	}
	return letters_with_room(letters, name);
}

static int
keyword_of(const struct md_scan *s, const char *name)
{
	for (unsigned i = 0; i < s->nkeywords; i++)
		if (strcasecmp(s->keywords[i], name) == 0)
			return (int)i;
	return -1;
}

static void
want_keyword(struct md_scan *s, const char *name)
{
	for (unsigned i = 0; i < s->nwanted; i++)
		if (strcasecmp(s->wanted[i], name) == 0)
			return;
	if (s->nwanted < MD_LETTERS && s->nkeywords < STORE_KEYWORDS)
		s->wanted[s->nwanted++] = xstrdup(name);
}

/* Keywords that have no letter are as they were. */
static void
take_letters(struct md_scan *s, const struct md_keywords *k,
    struct store_msg *m, uint64_t letters)
{
	m->place[0] = letters;
	for (size_t i = 0; i < NITEMS(flags); i++)
		if (letters >> (flags[i].letter - 'A') & 1)
			m->flags |= flags[i].flag;
		else
			m->flags &= ~flags[i].flag;
	for (unsigned i = 0; i < MD_LETTERS; i++) {
		bool has = (letters & keyword_bit(i)) != 0;
		int bit;

		if (k->names[i] == NULL)
			continue;
		bit = keyword_of(s, k->names[i]);
		if (bit == -1 && has)
			want_keyword(s, k->names[i]);
		if (bit == -1)
			continue;
		if (has)
			m->keywords[bit / 64] |= (uint64_t)1 << (bit % 64);
		else
			m->keywords[bit / 64] &= ~((uint64_t)1 << (bit % 64));
	}
}

/* ---- files and messages, side by side ---- */

struct scanning {
	struct md_scan *s;
	struct md_keywords letters;
	struct md_uids uids;
	bool has_uids;
	struct md_listing list;
	struct md_msg **msgs; /* by name */
	struct fresh {
		struct md_msg m;
		const struct md_entry *e;
		uint32_t uid; /* that the uidlist has for it, or 0 */
	} * fresh;
	size_t nfresh;
	uint32_t *missing;
	size_t nmissing;
	uint64_t modseq;
	uint64_t learned; /* letters that were not known to be keywords */
};

static int
compare_msgs(const void *a, const void *b)
{
	struct md_msg *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* In the uidlist's order; then in that of the names, which begin with times. */
static int
compare_fresh(const void *a, const void *b)
{
	const struct fresh *x = a, *y = b;
	size_t i = strcspn(x->e->name, "."), j = strcspn(y->e->name, ".");

	if ((x->uid == 0) != (y->uid == 0))
		return x->uid == 0 ? 1 : -1;
	if (x->uid != y->uid)
		return x->uid < y->uid ? -1 : 1;
	if (i != j)
		return i < j ? -1 : 1;
	return strcmp(x->e->name, y->e->name);
}

static int
compare_numbers(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
take_change(struct scanning *sc, const struct md_msg *was,
    const struct md_entry *e)
{
	struct md_scan *s = sc->s;
	struct store_msg m;

	/* One in new has no flags yet, and keeps what it had. */
	if (e->is_new ||
	    (e->letters == was->m.place[0] && (e->letters & sc->learned) == 0))
		return;
	m = (struct store_msg){ .uid = was->m.uid,
		.flags = was->m.flags,
		.keywords = { was->m.keywords[0], was->m.keywords[1] },
		.modseq = was->m.modseq };
	take_letters(s, &sc->letters, &m, e->letters);
	if (m.flags != was->m.flags || m.keywords[0] != was->m.keywords[0] ||
	    m.keywords[1] != was->m.keywords[1]) {
		m.modseq = sc->modseq;
		s->changed[s->nchanged++] = m.uid;
	}
	/* Where it is is known: nothing to be settled. */
	md_put_flags(s->record, &m, m.place[0]);
}

static void
take_missing(struct scanning *sc, const struct md_msg *m)
{
	sc->missing[sc->nmissing++] = m->m.uid;
}

static void
take_fresh(struct scanning *sc, const struct md_entry *e)
{
	sc->fresh[sc->nfresh++] = (struct fresh){ .e = e };
}

static void
compare(struct scanning *sc)
{
	const struct md_listing *l = &sc->list;
	size_t n = sc->s->x->n, i = 0, j = 0;

	while (i < l->n || j < n) {
		int c = i == l->n ? 1
		        : j == n  ? -1
		                  : strcmp(l->at[i].name, sc->msgs[j]->name);

		/* The same in new and cur, or twice: one of them counts. */
		if (i < l->n &&
		    (l->at[i].is_odd || (i > 0 && strcmp(l->at[i].name,
		                                      l->at[i - 1].name) == 0)))
			i++;
		else if (c < 0)
			take_fresh(sc, &l->at[i++]);
		else if (c > 0)
			take_missing(sc, sc->msgs[j++]);
		else
			take_change(sc, sc->msgs[j++], &l->at[i++]);
	}
}

/* ---- what is new ---- */

/*
 * ",S=1355,W=1394": the size as served, if the other program knew it.  It did
 * if it knew that of the file, and nobody has edited that since.
 */
static bool
size_in_name(const char *name, char letter, uint64_t *n)
{
	char key[4] = { ',', letter, '=', '\0' };
	const char *p = strstr(name, key);

	return p != NULL &&
	       ascii_number(slice_of(p + 3, strspn(p + 3, "0123456789")),
	           UINT64_MAX / 4, n);
}

static bool
is_size_known(const char *name, struct store_msg *m)
{
	uint64_t file;

	return size_in_name(name, 'S', &file) && file == m->place[1] &&
	       size_in_name(name, 'W', &m->size) && m->size >= file &&
	       m->size <= 2 * file;
}

/* 1: there is none that can be read; of that is said if it is there. */
static int
measure(struct md_scan *s, struct md_msg *m, const struct md_entry *e,
    struct stat *st, struct err *err)
{
	char path[MD_FILE];
	int fd = md_open(s->dirfd, e->name, e->letters, path), result = 0;

	if (fd == -1 && errno == ENOENT)
		return 1;
	if (fd == -1 && errno != EACCES && errno != EPERM && errno != EIO)
		return err_sys(err, "opening %s", path);
	if (fd == -1) {
		s->nunread++;
		err_sys(&s->unread, "opening %s", path);
		return 1;
	}
	if (fstat(fd, st) == -1)
		result = err_sys(err, "looking at %s", path);
	m->m.place[1] = (uint64_t)st->st_size;
	if (result == 0 && !is_size_known(e->name, &m->m) &&
	    md_measure(fd, &m->m.place[1], &m->m.size, &s->unread) == -1) {
		s->nunread++;
		err_add(&s->unread, "%s", path);
		result = 1;
	}
	close(fd);
	return result;
}

/* From the name, so that it is the same when the index is made anew. */
static void
make_emailid(uint8_t id[16], const char *name)
{
	struct hash_sha256 *h = hash_sha256_new();
	uint8_t digest[32];

	hash_sha256_put(h, name, strlen(name));
	hash_sha256_end(&h, digest);
	memcpy(id, digest, 16);
}

static bool
is_list_right(const struct scanning *sc)
{
	return sc->has_uids && sc->uids.there &&
	       sc->uids.uidvalidity == sc->s->x->uidvalidity;
}

/* 1: it has gone meanwhile. */
static int
fill(struct scanning *sc, struct fresh *f, struct err *err)
{
	struct md_scan *s = sc->s;
	struct store_msg *m = &f->m.m;
	struct stat st;
	int result = measure(s, &f->m, f->e, &st, err);

	if (result != 0)
		return result;
	f->m.name = f->e->name;
	m->modseq = sc->modseq;
	m->internaldate = st.st_mtim.tv_sec;
	m->savedate = st.st_ctim.tv_sec;
	m->added = s->now;
	make_emailid(m->emailid, f->e->name);
	take_letters(s, &sc->letters, m, f->e->letters);
	if (is_list_right(sc))
		f->uid = md_uids_find(&sc->uids, f->e->name);
	if (f->uid < s->x->uidnext || md_uids_jump(s->x, f->uid))
		f->uid = 0;
	return 0;
}

static uint32_t
next_uid(const struct scanning *sc)
{
	uint32_t uid = sc->s->x->uidnext;

	if (is_list_right(sc) && sc->uids.uidnext > uid &&
	    !md_uids_jump(sc->s->x, sc->uids.uidnext))
		uid = sc->uids.uidnext;
	return uid;
}

void
md_put_lost(struct buf *b, const struct index *x, uint32_t from, uint32_t to,
    uint64_t modseq)
{
	if (x->recent == 0)
		return;
	for (uint32_t uid = from; uid < to && uid - from < MD_LOST_MAX; uid++)
		md_put_gone(b,
		    &(struct md_gone){ .uid = uid, .modseq = modseq });
}

static int
put_fresh(struct scanning *sc, uint32_t *uidnext, struct err *err)
{
	struct md_scan *s = sc->s;
	size_t n = 0;

	for (size_t i = 0; i < sc->nfresh; i++) {
		int result = fill(sc, &sc->fresh[i], err);

		if (result == -1)
			return -1;
		if (result == 0)
			sc->fresh[n++] = sc->fresh[i];
	}
	qsort(sc->fresh, n, sizeof *sc->fresh, compare_fresh);
	for (size_t i = 0; i < n; i++) {
		struct fresh *f = &sc->fresh[i];

		if (*uidnext > MD_UID_MAX)
			break; /* there are no more */
		if (f->uid == 0 && *uidnext < next_uid(sc))
			*uidnext = next_uid(sc);
		f->m.m.uid = f->uid != 0 ? f->uid : *uidnext;
		md_put_lost(s->record, s->x, *uidnext, f->m.m.uid, sc->modseq);
		*uidnext = f->m.m.uid + 1;
		if (s->first_uid == 0)
			s->first_uid = f->m.m.uid;
		s->last_uid = f->m.m.uid;
		md_put_add(s->record, &f->m,
		    f->e->is_new ? MD_IN_NEW : MD_IN_CUR);
	}
	return 0;
}

/* ---- all together ---- */

static int
list_once(struct scanning *sc, struct err *err)
{
	if (md_list(sc->s->dirfd, &sc->list, err) == -1)
		return -1;
	if (sc->list.n > 0)
		qsort(sc->list.at, sc->list.n, sizeof *sc->list.at,
		    md_odd_compare);
	return 0;
}

/*
 * A listing may miss what is renamed meanwhile.  So what is not in the first
 * is looked for once more, and is gone only if it is in neither.
 */
static int
list(struct scanning *sc, struct err *err)
{
	struct md_scan *s = sc->s;
	size_t known = 0;

	if (list_once(sc, err) == -1)
		return -1;
	if (!s->look && md_odd_mend(s->dirfd, s->x, &sc->list, s->now)) {
		md_listing_free(&sc->list);
		if (list_once(sc, err) == -1)
			return -1;
	}
	for (size_t i = 0; i < s->x->n; i++) {
		struct md_entry key = { .name = s->x->msgs[i].name,
			.is_new = true };
		size_t low = 0, high = sc->list.n;

		while (low < high) {
			size_t mid = low + (high - low) / 2;

			if (md_odd_compare(&sc->list.at[mid], &key) < 0)
				low = mid + 1;
			else
				high = mid;
		}
		known += low < sc->list.n &&
		         strcmp(sc->list.at[low].name, key.name) == 0;
	}
	return known == s->x->n ? 0 : list_once(sc, err);
}

static int
put_all(struct scanning *sc, struct err *err)
{
	struct md_scan *s = sc->s;
	uint32_t uidnext = s->x->uidnext;

	for (unsigned i = 0; i < MD_LETTERS; i++)
		if (sc->letters.names[i] != NULL && s->x->letters[i] == NULL)
			sc->learned |= keyword_bit(i);
	compare(sc);
	if (sc->nfresh > 0) {
		sc->has_uids = true;
		if (md_uids_read(s->dirfd, &sc->uids, err) == -1)
			return -1;
	}
	if (put_fresh(sc, &uidnext, err) == -1)
		return -1;
	qsort(sc->missing, sc->nmissing, sizeof *sc->missing, compare_numbers);
	for (size_t i = 0; i < sc->nmissing; i++) {
		md_put_expunge(s->record, sc->missing[i], sc->modseq, false);
		s->expunged[s->nexpunged++] = sc->missing[i];
	}
	qsort(s->changed, s->nchanged, sizeof *s->changed, compare_numbers);
	md_put_letters(s->record, s->x, &sc->letters);
	if (buf_len(s->record) == 0)
		return 0;
	md_put_head(s->record, s->x->uidvalidity, uidnext, s->x->recent,
	    s->nchanged > 0 || s->nexpunged > 0 || s->first_uid != 0
	        ? sc->modseq
	        : s->x->highestmodseq);
	return buf_failed(s->record) ? err_set(err, "too many at once") : 0;
}

int
md_scan(struct md_scan *s, struct err *err)
{
	struct scanning sc = { .s = s,
		.modseq = s->x->highestmodseq < s->modseq
		              ? s->modseq
		              : s->x->highestmodseq + 1 };
	size_t n = s->x->n;
	int result;

	sc.msgs = xcalloc(n + 1, sizeof *sc.msgs);
	sc.missing = xcalloc(n + 1, sizeof *sc.missing);
	s->changed = xcalloc(n + 1, sizeof *s->changed);
	s->expunged = xcalloc(n + 1, sizeof *s->expunged);
	for (size_t i = 0; i < n; i++)
		sc.msgs[i] = &s->x->msgs[i];
	qsort(sc.msgs, n, sizeof(struct md_msg *), compare_msgs);
	result = md_times(s->dirfd, &s->times, err);
	if (result == 0)
		result = md_keywords_read(s->dirfd, s->x, &sc.letters, err);
	if (result == 0)
		result = list(&sc, err);
	sc.fresh = xcalloc(sc.list.n + 1, sizeof *sc.fresh);
	if (result == 0)
		result = put_all(&sc, err);
	free(sc.fresh);
	free(sc.missing);
	free(sc.msgs);
	md_listing_free(&sc.list);
	md_keywords_free(&sc.letters);
	if (sc.has_uids)
		md_uids_free(&sc.uids);
	return result;
}
