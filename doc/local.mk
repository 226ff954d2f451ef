dist_man_MANS += \
	doc/man/odezk.1 doc/man/odezk-config.1 doc/man/odezk-exec.1 doc/man/odezk-locks.1 doc/man/odezk-node.1 \
	doc/man/odezk-resign.1 doc/man/odezk-sandbox.1 doc/man/odezk-status.1 doc/man/odezk-watch.1 \
	doc/man/libodezk.3

# The list of settings is made from the same table as the library's.
man_MANS += doc/man/ode-cluster.xml.5
CLEANFILES += doc/man/ode-cluster.xml.5
EXTRA_DIST += doc/man/ode-cluster.xml.5.in
doc/man/ode-cluster.xml.5: doc/man/ode-cluster.xml.5.in src/config/gen$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) doc/man && src/config/gen$(EXEEXT) --man >$@.settings && \
	sed -e '/^@SETTINGS@$$/{' -e 'r $@.settings' -e 'd' -e '}' \
		$(srcdir)/doc/man/ode-cluster.xml.5.in >$@.tmp && \
	rm $@.settings && mv $@.tmp $@

# In the same places as in the sources, so that the links between them work after the installation too.
dist_doc_DATA = CHANGELOG.md CONTRIBUTING.md LICENSE README.md
docsdir = $(docdir)/doc
dist_docs_DATA = \
	doc/architecture.md doc/configuration.md doc/engine.md doc/fencing.md doc/locks.md doc/operations.md \
	doc/performance.md doc/reaper.md doc/safety.md doc/security.md doc/testing.md doc/threads.md

EXTRA_DIST += \
	doc/model/README.md doc/model/election.pml doc/model/lease.pml doc/model/lock.pml doc/model/sticky.pml
