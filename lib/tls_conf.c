#include <stddef.h>

#include "lib/err.h"
#include "lib/tls_conf.h"

int
tls_conf_check(const char *cert, const char *key,
    const struct conf_list *listen_tls, struct err *err)
{
	if ((cert == NULL) != (key == NULL))
		return err_set(err, "tls_cert and tls_key go together");
	if (listen_tls->count > 0 && cert == NULL)
		return err_set(err, "listen_tls needs tls_cert and tls_key");
	return 0;
}
