/*
 * holder.h - what the process of queue.h does: the loop over one NFQUEUE.
 */
#ifndef FAULTS_HOLDER_H
#define FAULTS_HOLDER_H

/*
 * Serve queue number until SIGTERM or until the file conf is gone; one byte
 * to ready_fd when packets are taken.  What is held then passes at once.
 * -errno if the queue cannot be had.
 */
int holder_run(const char *conf, unsigned number, int ready_fd);

#endif
