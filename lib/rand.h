/*
 * rand: randomness from the kernel, fit for secrets.
 */
#ifndef LIB_RAND_H
#define LIB_RAND_H

#include <stddef.h>
#include <stdint.h>

void rand_bytes(void *p, size_t n);
uint64_t rand_u64(void);

/* 0 to n - 1, evenly; n is not 0. */
uint64_t rand_below(uint64_t n);

#endif
