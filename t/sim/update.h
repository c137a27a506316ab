/*
 * update: the update server's child.  Apart, because its struct server is not
 * the backend's.
 */
#ifndef T_SIM_UPDATE_H
#define T_SIM_UPDATE_H

struct conf_table;
struct daemon_child;
struct list;

extern const struct conf_table mupdated_conf_table;
const struct daemon_child *update_child(void);
struct list *update_list(void *state);

#endif
