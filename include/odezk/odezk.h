/* All of odezk. Link with `pkg-config --libs odezk`. */
#ifndef ODEZK_ODEZK_H
#define ODEZK_ODEZK_H

#include <odezk/cluster.h>
#include <odezk/config.h>
#include <odezk/election.h>
#include <odezk/error.h>
#include <odezk/lock.h>
#include <odezk/log.h>
#include <odezk/member.h>
#include <odezk/version.h>
#include <odezk/write.h>

#endif
