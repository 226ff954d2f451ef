/* Whether a text is a value that a setting allows. */
#ifndef OZ_VALUE_H
#define OZ_VALUE_H

#include "config/settings.h"

/* What odezk_config_number() answers for a value that is "auto" or no number. */
#define OZ_NO_NUMBER (-1)

/* The text without blanks around it, which the caller frees; NULL when out of memory. */
char *oz_value_trim(const char *text);

/* ODEZK_OK, with the number in `number` when it is one; ODEZK_ENOMEM; ODEZK_ECONFIG: `why` is what
 * is wrong beyond what the setting's `allowed` tells, or "". It quotes nothing of a secret. */
int oz_value_check(enum oz_setting_id id, const char *text, int64_t *number, char *why, size_t size);

#endif
