/*
 * notify.h - telling whoever started raftd how it goes: sd_notify(3)'s
 * protocol (a datagram to $NOTIFY_SOCKET) and --ready-fd.
 */
#ifndef RAFTD_NOTIFY_H
#define RAFTD_NOTIFY_H

/* "READY=1" and the like; does nothing without NOTIFY_SOCKET. */
void notify_send(const char *state);
/* Writes "ready\n" and closes it: 0 or -errno. */
int notify_ready_fd(int fd);

#endif
