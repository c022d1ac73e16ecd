# Makefile: the one of raftkit.  A new source file needs no change here: every
# folder's *.c but main.c is its library, main.c its program, and each
# tests/<layer>/<name>.c a test program of its own.
#
#	make [CC=clang] [SAN=address,undefined] [MUTANT=n] [TARGET]
#
# Everything built lands in .build/<variant>; the plain build's programs are
# put into bin/ too.

CC = gcc
PREFIX = /usr/local
DESTDIR =
SAN =
MUTANT =
VERSION = 0.1.0

VARIANT := $(notdir $(CC))$(if $(SAN),-$(subst $(,),-,$(SAN)))$(if $(MUTANT),-mutant$(MUTANT))
, := ,
B := .build/$(VARIANT)

WARN = -Wall -Wextra -Wshadow -Wpointer-arith -Wcast-qual -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wwrite-strings -Wformat=2 -Werror
OPT = -O2 -g -fno-omit-frame-pointer -fstack-protector-strong
CPPFLAGS_ALL = -I. -D_GNU_SOURCE -DRAFTKIT_VERSION='"$(VERSION)"' \
	-D'MUTANT(n)=((n)==$(or $(MUTANT),0))' $(CPPFLAGS)
CFLAGS_ALL = -std=c11 $(WARN) $(OPT) -pthread -MMD -MP \
	$(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all) $(CFLAGS)
LDFLAGS_ALL = -pthread $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)
LIBS = -levent_extra -levent_core -lmsgpackc -ljansson -linih -lbsd -lm

# Folders that are libraries, in link order: who knows comes before the known.
LIBDIRS = loadgen raftd raftd/fsm raftd/core raftsnap raftwal raftctl faults
PROGDIRS = raftd raftctl raftwal raftsnap loadgen faults

src_of = $(filter-out $(1)/main.c,$(wildcard $(1)/*.c))
obj_of = $(patsubst %.c,$(B)/%.o,$(1))
lib_of = $(B)/lib/$(subst /,-,$(1)).a

LIBS_BUILT := $(foreach d,$(LIBDIRS),$(if $(call src_of,$(d)),$(call lib_of,$(d))))
PROGRAMS := $(foreach d,$(PROGDIRS),$(if $(wildcard $(d)/main.c),$(d)))
PROGS_BUILT := $(PROGRAMS:%=$(B)/bin/%)
TEST_SRCS := $(wildcard tests/unit/*.c tests/script/*.c tests/sim/*.c \
	tests/crash/*.c tests/bench/*.c tests/interop/*.c)
UNIT_BUILT := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/test_*.c))

.PHONY: all deps check lint format demo install uninstall clean
.DELETE_ON_ERROR:

all: $(PROGS_BUILT) $(if $(filter gcc,$(VARIANT)),$(PROGRAMS:%=bin/%))

bin/%: $(B)/bin/%
	@ln -f $< $@ 2>/dev/null || cp -f $< $@

define lib_rule
$(call lib_of,$(1)): $(call obj_of,$(call src_of,$(1)))
	@mkdir -p $$(@D)
	@rm -f $$@
	@ar rcs $$@ $$^
endef
$(foreach d,$(LIBDIRS),$(if $(call src_of,$(d)),$(eval $(call lib_rule,$(d)))))

define prog_rule
$(B)/bin/$(1): $(B)/$(1)/main.o $(LIBS_BUILT)
	@mkdir -p $$(@D)
	$$(CC) -o $$@ $$< $$(LDFLAGS_ALL) -Wl,--start-group $(LIBS_BUILT) -Wl,--end-group $$(LIBS)
endef
$(foreach d,$(PROGRAMS),$(eval $(call prog_rule,$(d))))

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<

$(B)/tests/unit/test_%: $(B)/tests/unit/test_%.o $(LIBS_BUILT)
	$(CC) -o $@ $< $(LDFLAGS_ALL) -Wl,--start-group $(LIBS_BUILT) -Wl,--end-group -lcheck -lsubunit -lrt $(LIBS)

FLAGS = $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL)

# Objects are rebuilt when the flags change.
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' "$(FLAGS)" | cmp -s - $@ || printf '%s\n' "$(FLAGS)" > $@
FORCE:

unit: $(UNIT_BUILT)
	@for t in $(UNIT_BUILT); do $$t || exit 1; done

clean:
	rm -rf .build
	rm -f $(PROGRAMS:%=bin/%)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
