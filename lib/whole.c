#include <errno.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/whole.h"

int
whole_write(int fd, struct slice s, struct err *err)
{
	while (s.len > 0) {
		ssize_t n = write(fd, s.ptr, s.len);

		if (n == -1 && errno != EINTR)
			return err_sys(err, "writing");
		if (n > 0)
			s = slice_skip(s, (size_t)n);
	}
	return 0;
}
