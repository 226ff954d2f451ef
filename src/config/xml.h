/* Reading ode-cluster.xml. The only user of libxml2. */
#ifndef OZ_XML_H
#define OZ_XML_H

#include "config/problems.h"
#include "config/settings.h"

/* Gets each setting that the file has, with its text as it stands there. */
typedef void (*oz_xml_cb)(void *arg, enum oz_setting_id id, const char *text, int line);

/* Reads the content of `file`. What is wrong with the file goes to `problems`,
 * what is wrong with a value is for `found` to say. ODEZK_OK (also with problems) or ODEZK_ENOMEM.
 */
int oz_xml_read(const char *file, const char *bytes, size_t length, oz_xml_cb found, void *arg,
                odezk_problems *problems);

#endif
