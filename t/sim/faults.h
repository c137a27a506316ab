/*
 * faults: what goes wrong, when the seed says so.
 */
#ifndef T_SIM_FAULTS_H
#define T_SIM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

struct faults_plan {
	int64_t pause; /* between one and the next, on average; 0: none */
	bool disk_refuses, list_lost;
};

void faults_begin(const struct faults_plan *plan);

/* All that was wrong is right again, or will be in a moment. */
void faults_end(void);

#endif
