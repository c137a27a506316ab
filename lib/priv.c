#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/must.h"
#include "lib/priv.h"

int
priv_become(const char *user, struct err *err)
{
	struct passwd *pw;

	if (user == NULL || geteuid() != 0)
		return 0;
	errno = 0;
	pw = getpwnam(user);
	if (pw == NULL && errno != 0)
		return err_sys(err, "user %s", user);
	if (pw == NULL)
		return err_set(err, "there is no user %s", user);
	if (initgroups(user, pw->pw_gid) == -1 || setgid(pw->pw_gid) == -1 ||
	    setuid(pw->pw_uid) == -1)
		return err_sys(err, "becoming user %s", user);
	/* What was given up must be gone for good. */
	MUST(pw->pw_uid == 0 || setuid(0) == -1);
	return 0;
}

int
priv_descriptors(uint64_t n, uint64_t *got, struct err *err)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return err_sys(err, "descriptor limit");
	if (n == 0)
		limit.rlim_cur = limit.rlim_max;
	else if (n > limit.rlim_max && geteuid() == 0)
		limit.rlim_cur = limit.rlim_max = n;
	else
		limit.rlim_cur = n < limit.rlim_max ? n : limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
		return err_sys(err, "descriptor limit of %llu",
		    (unsigned long long)limit.rlim_cur);
	*got = limit.rlim_cur;
	return 0;
}

#if defined(__x86_64__)
#define PRIV_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define PRIV_ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef PRIV_ARCH

#define ANSWER(e) (SECCOMP_RET_ERRNO | (e))
#define LOAD(member)                       \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, \
	    (uint32_t)offsetof(struct seccomp_data, member))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))

/* If the number loaded is n, the call fails with e. */
#define REFUSE(n, e) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (n), 0, 1), RETURN(ANSWER(e))

#define NAMESPACES                                                   \
	(CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
	    CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

/*
 * A list of what is refused, not of what is allowed: libraries change the
 * calls they make, and none of them has business with these.  clone3 hides its
 * flags from a filter; without it glibc uses clone.
 */
static const struct sock_filter filter[] = {
	LOAD(arch),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PRIV_ARCH, 1, 0),
	RETURN(ANSWER(EPERM)),
	LOAD(nr),
#ifdef __x86_64__
	/* The x32 numbers would be a way around the list. */
	BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
	RETURN(ANSWER(EPERM)),
#endif
	REFUSE(__NR_clone3, ENOSYS),
	REFUSE(__NR_execve, EPERM),
	REFUSE(__NR_execveat, EPERM),
	REFUSE(__NR_ptrace, EPERM),
	REFUSE(__NR_process_vm_readv, EPERM),
	REFUSE(__NR_process_vm_writev, EPERM),
	REFUSE(__NR_mount, EPERM),
	REFUSE(__NR_umount2, EPERM),
	REFUSE(__NR_pivot_root, EPERM),
	REFUSE(__NR_unshare, EPERM),
	REFUSE(__NR_setns, EPERM),
	REFUSE(__NR_init_module, EPERM),
	REFUSE(__NR_finit_module, EPERM),
	REFUSE(__NR_delete_module, EPERM),
	REFUSE(__NR_kexec_load, EPERM),
	REFUSE(__NR_bpf, EPERM),
	REFUSE(__NR_perf_event_open, EPERM),
	REFUSE(__NR_add_key, EPERM),
	REFUSE(__NR_keyctl, EPERM),
	REFUSE(__NR_request_key, EPERM),
	REFUSE(__NR_userfaultfd, EPERM),
	REFUSE(__NR_reboot, EPERM),
	REFUSE(__NR_swapon, EPERM),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 0, 3),
	LOAD(args[0]),
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 0, 1),
	RETURN(ANSWER(EPERM)),
	RETURN(SECCOMP_RET_ALLOW),
};

int
priv_confine(struct err *err)
{
	const struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		/* The kernel only reads it, but has no const to say so. */
		.filter = (struct sock_filter *)(uintptr_t)filter,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return err_sys(err, "giving up privileges");
	/* EINVAL: a kernel without filters. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == -1 &&
	    errno != EINVAL)
		return err_sys(err, "filtering system calls");
	return 0;
}

#else

int
priv_confine(struct err *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return err_sys(err, "giving up privileges");
	return 0;
}

#endif
