#include <stdint.h>
#include <stdlib.h>

#include "t/thread_whole.h"

bool
thread_whole(struct slice s, size_t n)
{
	uint8_t *seen = calloc(n + 1, 1);
	size_t depth = 0, count = 0, number = 0;
	bool good = true;

	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] >= '0' && s.ptr[i] <= '9') {
			number = number * 10 + (size_t)(s.ptr[i] - '0');
			continue;
		}
		if (number > 0) {
			good &= number <= n && !seen[number] && depth > 0;
			if (number <= n)
				seen[number] = 1;
			count++;
		}
		number = 0;
		depth += s.ptr[i] == '(';
		good &= s.ptr[i] != ')' || depth > 0;
		depth -= s.ptr[i] == ')';
	}
	free(seen);
	return good && depth == 0 && count == n;
}
