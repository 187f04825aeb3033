/// The verbs of `norn store`.
#ifndef NORN_CLI_STORE_VERBS_H
#define NORN_CLI_STORE_VERBS_H

#include "cli/options.h"

extern const cli_command cli_store_import, cli_store_export, cli_store_stat, cli_store_get,
    cli_store_apply, cli_store_verify;

#endif
