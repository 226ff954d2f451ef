/* The id of this node. */
#ifndef OZ_NODEID_H
#define OZ_NODEID_H

#include <odezk/config.h>

#define OZ_NODE_ID_SIZE 65

/* The configured id, or one made of the host's name and a random suffix. The latter is stored in the configuration
 * directory if that is writable, so that the node has the same id after a restart. ODEZK_OK, ODEZK_ESYSTEM or
 * ODEZK_ENOMEM. */
int oz_node_id(const odezk_config *config, char id[OZ_NODE_ID_SIZE]);

#endif
