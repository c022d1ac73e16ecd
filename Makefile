# Makefile: the one of raftkit.  A new source file needs no change here: every
# folder's *.c but main.c is its library, main.c its program.  In tests/unit
# and tests/fuzz each test_*.c and fuzz_*.c is a program; in the other
# folders of tests each file with a main() is one (main.c is named after its
# folder).  The files of such a folder that are no programs are linked into
# each program beside them.
#
#	make [CC=clang] [SAN=address,undefined] [MUTANT=n] [V=1] [TARGET]
#
#	all		the programs (the default)
#	deps		install what is missing of Debian's packages
#	check		everything that a change must pass, under five minutes
#	lint format	the rules that a machine keeps; clang-format on C files
#	demo		a cluster of three loses its leader before your eyes
#	install uninstall	programs, pages, completions [DESTDIR= PREFIX=]
#	unit script crash cli interop cluster	one layer of the tests
#	fuzz TIME=60	each fuzzer for that many seconds
#	sim HOURS=1	simulated hours of whole servers
#	torture TIME=60 SEED=1	five servers, load and all kinds of faults
#	mutants bench	see raftkit-testing(7)
#
# Everything built lands in .build/<variant>; the programs of the plain build
# are put into bin/ too.

CC = gcc
PREFIX = /usr/local
DESTDIR =
SAN =
MUTANT =
FUZZ =
VERSION = 0.1.0
TIME = 60
HOURS = 1
SEED = 1
JOBS := $(shell nproc 2>/dev/null || echo 2)

, := ,
VARIANT := $(if $(FUZZ),fuzz,$(notdir $(CC)))$(if $(SAN),-$(subst $(,),-,$(SAN)))$(if $(MUTANT),-mutant$(MUTANT))
B := .build/$(VARIANT)

WARN = -Wall -Wextra -Wshadow -Wpointer-arith -Wcast-qual -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wwrite-strings -Wformat=2 -Werror
OPT = -O2 -g -fno-omit-frame-pointer -fstack-protector-strong
SANITIZE = $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
FUZZING = $(if $(FUZZ),-fsanitize=address$(,)undefined -fno-sanitize-recover=all)
CPPFLAGS_ALL = -I. -D_GNU_SOURCE -DRAFTKIT_VERSION='"$(VERSION)"' \
	-D'MUTANT(n)=((n)==$(or $(MUTANT),0))' $(CPPFLAGS)
CFLAGS_ALL = -std=c11 $(WARN) $(OPT) -pthread -MMD -MP $(SANITIZE) \
	$(FUZZING) $(if $(FUZZ),-fsanitize=fuzzer-no-link) $(CFLAGS)
LDFLAGS_ALL = -pthread $(SANITIZE) $(FUZZING) $(LDFLAGS)
LIBS = -levent_extra -levent_core -lmsgpackc -ljansson -linih -lzstd -lbsd -lm
LIBS_faults = -lnetfilter_queue -lnfnetlink
TEST_LIBS = -Wl,--as-needed -lcheck -lsubunit -lrt -Wl,--no-as-needed

# What `make deps` installs: all of it in Debian 12.
DEPS = make gcc libc6-dev clang clang-format libclang-rt-14-dev llvm \
	libevent-dev libmsgpack-dev libjansson-dev libinih-dev libbsd-dev \
	libzstd-dev libxxhash-dev check libsubunit-dev mandoc jq xxd git \
	iptables libnetfilter-queue-dev iproute2 strace e2fsprogs util-linux \
	libedit-dev zsh fish shellcheck python3-minimal python3-msgpack python3-pynvim neovim

# Folders that are libraries, and folders that have a program.
LIBDIRS = loadgen raftd raftd/fsm raftd/core raftsnap raftwal raftctl faults
PROGDIRS = raftd raftctl raftwal raftsnap loadgen faults

src_of = $(filter-out $(1)/main.c,$(wildcard $(1)/*.c))
obj_of = $(patsubst %.c,$(B)/%.o,$(1))
lib_of = $(B)/lib/$(subst /,-,$(1)).a

LIBS_BUILT := $(foreach d,$(LIBDIRS),$(if $(call src_of,$(d)),$(call lib_of,$(d))))
PROGRAMS := $(foreach d,$(PROGDIRS),$(if $(wildcard $(d)/main.c),$(d)))
PROGS_BUILT := $(PROGRAMS:%=$(B)/bin/%)
PAGES := $(wildcard man/*.[1-9])

# Test programs: $(prog_of FOLDER) are the sources with a main().
TEST_DIRS := $(filter-out tests/unit tests/fuzz,$(patsubst %/,%,$(sort $(dir $(wildcard tests/*/*.c)))))
TEST_MAINS := $(if $(TEST_DIRS),$(shell grep -lE '^(int )?main\>' $(TEST_DIRS:%=%/*.c)))
prog_of = $(if $(filter %/unit,$(1)),$(wildcard $(1)/test_*.c),$(if $(filter %/fuzz,$(1)),$(wildcard $(1)/fuzz_*.c),$(filter $(1)/%,$(TEST_MAINS))))
# tests/sim/main.c -> tests/sim/sim, tests/unit/test_mp.c -> tests/unit/test_mp
exe_of = $(B)/$(if $(filter main.c,$(notdir $(1))),$(patsubst %/,%,$(dir $(1)))/$(notdir $(patsubst %/,%,$(dir $(1)))),$(1:.c=))
exes_of = $(foreach s,$(call prog_of,$(1)),$(call exe_of,$(s)))
TESTS_BUILT = $(foreach d,tests/unit $(TEST_DIRS),$(call exes_of,$(d)))

.PHONY: all deps check lint format demo install uninstall clean tests FORCE \
	unit script crash cli interop cluster fuzz fuzzers sim mutants bench torture
.DELETE_ON_ERROR:
.SECONDARY:

# What faults preloads; no sanitizer comes along into a server without one.
SHIM = lib/raftkit/faults-clock.so

all: $(PROGS_BUILT) $(B)/$(SHIM) \
	$(if $(filter gcc,$(VARIANT)),$(PROGRAMS:%=bin/%))

$(B)/$(SHIM): faults/shim/clock.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,link $@)
	$(Q)$(CC) -D_GNU_SOURCE -std=c11 $(WARN) -O2 -fPIC -shared -o $@ $<

bin/%: $(B)/bin/%
	@ln -f $< $@ 2>/dev/null || cp -f $< $@

# V=1 shows the commands.
Q = $(if $(V),,@)
say = $(if $(V),,@echo "$(1)")

# An archive is made anew when its list of members changes as well.
define lib_rule
$(call lib_of,$(1)): $(call obj_of,$(call src_of,$(1))) $(call lib_of,$(1)).list
	@rm -f $$@
	@ar rcs $$@ $$(filter %.o,$$^)
$(call lib_of,$(1)).list: FORCE
	@mkdir -p $$(@D)
	@$$(call update,$(sort $(call src_of,$(1))))
endef
# Writes the words to the target unless they are its content already.
update = printf '%s\n' "$(subst ",\",$(1))" | cmp -s - $@ || printf '%s\n' "$(subst ",\",$(1))" >$@
$(foreach d,$(LIBDIRS),$(if $(call src_of,$(d)),$(eval $(call lib_rule,$(d)))))

LINK = $(Q)$(CC) -o $@ $(filter %.o,$^) $(LDFLAGS_ALL) -Wl,--start-group $(LIBS_BUILT) -Wl,--end-group

define prog_rule
$(B)/bin/$(1): $(B)/$(1)/main.o $(LIBS_BUILT)
	@mkdir -p $$(@D)
	$$(call say,link $$@)
	$$(LINK) $$(LIBS) $$(LIBS_$(1))
endef
$(foreach d,$(PROGRAMS),$(eval $(call prog_rule,$(d))))

# In front of our archives, one of which has a history_init() as well.
$(B)/bin/raftctl: LDFLAGS_ALL += -Wl,--no-as-needed -ledit

# $(1) folder, $(2) source of a program in it, $(3) more flags to link with.
define test_rule
$(call exe_of,$(2)): $(call obj_of,$(2) $(filter-out $(call prog_of,$(1)),$(wildcard $(1)/*.c))) $(LIBS_BUILT)
	$$(call say,link $$@)
	$$(LINK) $(3) $$(TEST_LIBS) $$(LIBS)
endef
$(foreach d,tests/unit $(TEST_DIRS),$(foreach s,$(call prog_of,$(d)),$(eval $(call test_rule,$(d),$(s)))))
$(foreach s,$(call prog_of,tests/fuzz),$(eval $(call test_rule,tests/fuzz,$(s),-fsanitize=fuzzer)))

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,$(CC) $<)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<

# Objects are rebuilt when the flags change.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@$(call update,$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL))
FORCE:

tests: $(TESTS_BUILT)

# A bare machine runs this as root or with sudo; a second run asks dpkg only.
deps:
	@missing=$$(for p in $(DEPS); do \
		dpkg-query -W -f '$${db:Status-Abbrev}' $$p 2>/dev/null | \
		grep -q '^ii' || echo $$p; done); \
	[ -n "$$missing" ] || exit 0; \
	echo "installing" $$missing; \
	run=; [ "$$(id -u)" = 0 ] || run="sudo -n env"; \
	export DEBIAN_FRONTEND=noninteractive; \
	$$run apt-get update -qq && \
	$$run apt-get install -qq -y --no-install-recommends $$missing \
	</dev/null >/dev/null || { \
	echo "make deps: install as root:" $$missing >&2; exit 1; }

# ---- tests ----------------------------------------------------------------

scripts_of = $(wildcard $(1:%=tests/%/test_*.sh))
RUN = RAFTKIT_BUILD=$(B) tests/run -j $(JOBS)

check: deps
	@+$(MAKE) --no-print-directory all tests
	@$(RUN) $(foreach d,unit script crash,$(call exes_of,tests/$(d))) \
		$(call scripts_of,cli interop cluster)

unit: $(call exes_of,tests/unit)
	@$(RUN) $^
script: $(call exes_of,tests/script)
	@$(RUN) $^
crash: $(call exes_of,tests/crash)
	@$(RUN) $^
cli interop cluster: all
	@$(RUN) $(call scripts_of,$@)

fuzzers: $(call exes_of,tests/fuzz)
fuzz:
	@+$(MAKE) --no-print-directory CC=clang FUZZ=1 SAN= fuzzers
	@tests/fuzz/run -j $(JOBS) -t $(TIME)

sim: $(call exes_of,tests/sim)
	@sed '/^#/d' tests/sim/kept | \
	    xargs -L 1 $(B)/tests/sim/sim --quiet --no-shrink
	@$(B)/tests/sim/sim --hours $(HOURS) --marks

mutants:
	@tests/mutants/run

torture: all
	@RAFTKIT_BUILD=$(B) tests/cluster/torture -t $(TIME) -s $(SEED)

bench: all $(call exes_of,tests/bench)
	@RAFTKIT_BUILD=$(B) tests/bench/run

lint: $(foreach d,raftd raftd/core raftd/fsm,$(if $(call src_of,$(d)),$(call lib_of,$(d))))
	@RAFTKIT_BUILD=$(B) tests/lint

format:
	clang-format -i $$(git ls-files -co --exclude-standard -- '*.c' '*.h')

demo: deps
	@+$(MAKE) --no-print-directory all
	@tests/cluster/demo.sh

# ---- installation ---------------------------------------------------------

# What the shells look for, and where.
COMPLETIONS = completion.bash=bash-completion/completions/raftctl \
	completion.zsh=zsh/site-functions/_raftctl \
	completion.fish=fish/vendor_completions.d/raftctl.fish

install: all
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 $(PROGS_BUILT) bin/raftlab "$(DESTDIR)$(PREFIX)/bin"
	install -d "$(DESTDIR)$(PREFIX)/lib/raftkit"
	install -m 755 $(B)/$(SHIM) "$(DESTDIR)$(PREFIX)/lib/raftkit"
	@for p in $(PAGES); do \
		dir="$(DESTDIR)$(PREFIX)/share/man/man$${p##*.}"; \
		install -d "$$dir" && install -m 644 $$p "$$dir" || exit 1; \
	done
	@for c in $(COMPLETIONS); do set -- $$(echo $$c | tr = ' '); \
		install -d "$(DESTDIR)$(PREFIX)/share/$${2%/*}" && \
		install -m 644 raftctl/$$1 "$(DESTDIR)$(PREFIX)/share/$$2" || \
		exit 1; done

uninstall:
	@for p in $(PROGRAMS) raftlab; do \
		rm -f "$(DESTDIR)$(PREFIX)/bin/$$p"; done
	rm -f "$(DESTDIR)$(PREFIX)/$(SHIM)"
	@for p in $(notdir $(PAGES)); do \
		rm -f "$(DESTDIR)$(PREFIX)/share/man/man$${p##*.}/$$p"; done
	@for c in $(COMPLETIONS); do \
		rm -f "$(DESTDIR)$(PREFIX)/share/$${c#*=}"; done

clean:
	rm -rf .build
	rm -f $(PROGDIRS:%=bin/%)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
