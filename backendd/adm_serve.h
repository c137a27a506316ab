/*
 * adm_serve: backendadm's work on the mailboxes of a backend that runs.
 *
 * Who connects to admin_socket is root or our own user: the file's mode sees to
 * that, and no ACL or quota is asked.  Each connection asks one thing at a time
 * (adm_wire.h), with a hold on its mailbox like a session's, so that what comes
 * back or comes in is news to all who have it selected.
 */
#ifndef BACKENDD_ADM_SERVE_H
#define BACKENDD_ADM_SERVE_H

#include <stddef.h>

struct adm_server;
struct backendd;

struct adm_server *adm_server_new(struct backendd *bd);

/* Takes fd. */
void adm_server_accept(struct adm_server *as, int fd);

/* What is under way ends, and no more is begun. */
void adm_server_drain(struct adm_server *as);

/* Connections that are left. */
size_t adm_server_count(const struct adm_server *as);

/* None is left. */
void adm_server_free(struct adm_server **ap);

#endif
