/* ${name} and ${env.NAME} in the values of properties. */
#ifndef OZ_EXPAND_H
#define OZ_EXPAND_H

#include "config/properties.h"

/* Where references are looked up, and where mistakes go. */
struct oz_expander {
    const char *file; /* of the properties */
    const struct oz_properties *properties;
    const char *dir; /* what ${org.apache.ode.configDir} is */
    bool (*is_secret)(const char *key);
    odezk_problems *problems;
};

/* Expands the value of a property into `text`, which the caller frees. `secret` says on entry
 * whether names in it must not be told, and on return whether something secret is in it. ODEZK_OK;
 * ODEZK_ECONFIG (the problems say why) or ODEZK_ENOMEM with `text` untouched. */
int oz_expand(const struct oz_expander *e, const struct oz_property *property, bool *secret, char **text);

#endif
