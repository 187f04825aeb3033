/// Which devices libnorn has: the CPU, and CUDA's GPUs where libnorn_cuda.so can be loaded.
#ifndef NORN_API_BACKENDS_H
#define NORN_API_BACKENDS_H

/// Tell the registry of devices (device/device.h), which keeps what a program has registered itself
/// under the same name. Every way into the library that names devices calls it first; again costs
/// nothing. Threads: any.
void norn_backends_offer(void);

#endif
