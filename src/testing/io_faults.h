/// The system calls by which a program changes its disk, as a test wants them: counted, failing, or
/// the last thing that the process does. A program that uses this has them in place of libc's, in
/// the libraries that it links too; those that write to standard output and error are let through.
///
/// Threads  any; what is wanted is set while nothing is written.
#ifndef NORN_TESTING_IO_FAULTS_H
#define NORN_TESTING_IO_FAULTS_H

/// Calls so far (open to create, write, sync, rename, link, unlink, mkdir, truncate).
long io_faults_count(void);
long io_faults_renames(void);
long io_faults_syncs(void);
/// SIGKILL in call number `count` from now (1: the next), a write when half of it is written. 0:
/// never.
void io_faults_kill_at(long count);
void io_faults_kill_at_rename(long count);
/// Calls that need the disk (all but unlink) fail with this error from now on; 0: none does.
void io_faults_fail(int error);

#endif
