/* The id of this node. */
#ifndef OZ_NODEID_H
#define OZ_NODEID_H

#include <odezk/config.h>

#define OZ_NODE_ID_SIZE 65

/* The configured id, or one made of the host's name and a random suffix. The latter is kept in the
 * configuration's directory when that can be written, so that a node that starts again is the same
 * node. ODEZK_OK or ODEZK_ESYSTEM or ODEZK_ENOMEM. */
int oz_node_id(const odezk_config *config, char id[OZ_NODE_ID_SIZE]);

#endif
