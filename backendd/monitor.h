/*
 * monitor: what a backend tells /healthz and /metrics (lib/admin).
 */
#ifndef BACKENDD_MONITOR_H
#define BACKENDD_MONITOR_H

struct admin;
struct backendd;

/* The list has been opened.  admin is freed before bd ends. */
void monitor_register(struct admin *a, struct backendd *bd);

#endif
