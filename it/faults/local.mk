# The fault suite. `make soak MINUTES=60` runs it for long.
check_PROGRAMS += it/faults/faults it/faults/node it/faults/proxy

it_faults_faults_SOURCES = \
	it/faults/actions.c it/faults/claims.c it/faults/ensemble.c it/faults/faults.c it/faults/faults.h \
	it/faults/growth.c it/faults/handover.c it/faults/helpers.c it/faults/links.c it/faults/loop.c it/faults/members.c \
	it/faults/network.c it/faults/nodes.c it/faults/process.c it/faults/record.c it/faults/record.h \
	it/faults/scenario.c it/faults/settle.c it/faults/util.c
it_faults_faults_CFLAGS = $(IT_COMPILE)
it_faults_faults_LDFLAGS = $(IT_LINK)
it_faults_faults_LDADD = it/libharness.la

# The node's own clock_gettime() and others have to be seen by the libraries.
it_faults_node_SOURCES = \
	it/faults/node.c it/faults/node.h it/faults/node_locks.c it/faults/record.c it/faults/record.h it/faults/skew.c \
	it/faults/skew.h
it_faults_node_LDFLAGS = $(IT_LINK) -export-dynamic
it_faults_node_LDADD = libodezk.la

it_faults_proxy_SOURCES = \
	it/faults/proxy.c it/faults/proxy.h it/faults/proxy_orders.c it/faults/proxy_requests.c
it_faults_proxy_LDFLAGS = $(IT_LINK)

MINUTES = 60
soak: odezk$(EXEEXT) odezk-reaper$(EXEEXT) odezk-reaper-close$(EXEEXT) it/faults/faults$(EXEEXT) it/faults/node$(EXEEXT) it/faults/proxy$(EXEEXT)
	it/faults/faults$(EXEEXT) --minutes $(MINUTES)
.PHONY: soak

# Known mistakes, to see that the tests find them.
EXTRA_DIST += \
	it/faults/mutate \
	it/faults/mutants/blind-create.patch \
	it/faults/mutants/blind-delete.patch \
	it/faults/mutants/cached-validity.patch \
	it/faults/mutants/helper-half-proof.patch \
	it/faults/mutants/helper-without-proof.patch \
	it/faults/mutants/no-guard.patch \
	it/faults/mutants/no-silent-move.patch \
	it/faults/mutants/obvious-lease.patch \
	it/faults/mutants/two-step-lease.patch
