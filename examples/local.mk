# Programs on the public API: they see include/ and nothing else. The programs are not installed.
EXAMPLE_CPPFLAGS = -D_GNU_SOURCE -I$(top_srcdir)/include
EXAMPLE_LINK = $(AM_LDFLAGS) -no-install

noinst_PROGRAMS += \
	examples/member examples/election examples/fencing examples/lock examples/readme examples/engine/engine

examples_member_SOURCES = examples/member.c
examples_member_CPPFLAGS = $(EXAMPLE_CPPFLAGS)
examples_member_LDFLAGS = $(EXAMPLE_LINK)
examples_member_LDADD = libodezk.la

examples_election_SOURCES = examples/election.c
examples_election_CPPFLAGS = $(EXAMPLE_CPPFLAGS)
examples_election_LDFLAGS = $(EXAMPLE_LINK)
examples_election_LDADD = libodezk.la

examples_fencing_SOURCES = examples/fencing.c
examples_fencing_CPPFLAGS = $(EXAMPLE_CPPFLAGS)
examples_fencing_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
examples_fencing_LDFLAGS = $(EXAMPLE_LINK)
examples_fencing_LDADD = libodezk.la $(SQLITE_LIBS)

examples_lock_SOURCES = examples/lock.c
examples_lock_CPPFLAGS = $(EXAMPLE_CPPFLAGS)
examples_lock_LDFLAGS = $(EXAMPLE_LINK)
examples_lock_LDADD = libodezk.la

examples_readme_SOURCES = examples/readme.c
examples_readme_CPPFLAGS = $(EXAMPLE_CPPFLAGS)
examples_readme_LDFLAGS = $(EXAMPLE_LINK)
examples_readme_LDADD = libodezk.la

examples_engine_engine_SOURCES = \
	examples/engine/commands.c examples/engine/engine.h examples/engine/main.c examples/engine/node.c \
	examples/engine/store.c examples/engine/store.h examples/engine/takeover.c examples/engine/workers.c
examples_engine_engine_CPPFLAGS = $(EXAMPLE_CPPFLAGS)
examples_engine_engine_CFLAGS = $(AM_CFLAGS) $(SQLITE_CFLAGS)
examples_engine_engine_LDFLAGS = $(EXAMPLE_LINK)
examples_engine_engine_LDADD = libodezk.la $(SQLITE_LIBS)

# Installed beside the documentation, to be read.
examplesdir = $(docdir)/examples
dist_examples_DATA = examples/election.c examples/fencing.c examples/lock.c examples/member.c examples/readme.c
