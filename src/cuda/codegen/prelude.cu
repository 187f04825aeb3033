/// What every generated source has after its Args: types, conversions and the functions of
/// graph/scalar_table.inc. Text for NVRTC; a .cu file because C has no raw strings.
extern "C" const char norn_cuda_prelude[] = R"(
struct norn_f16 { unsigned short bits; };
struct norn_bf16 { unsigned short bits; };
struct norn_bool { unsigned char byte; };
template <class T> struct alignas(sizeof(T) * 4 < 16 ? sizeof(T) * 4 : 16) norn_four { T at[4]; };

template <class T> static __device__ __forceinline__ T norn_get(T x) { return x; }
static __device__ __forceinline__ float norn_get(norn_f16 x) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(x.bits));
    return f;
}
static __device__ __forceinline__ float norn_get(norn_bf16 x) { return __uint_as_float((unsigned)x.bits << 16); }
static __device__ __forceinline__ bool norn_get(norn_bool x) { return x.byte != 0; }

template <class T> static __device__ __forceinline__ T norn_inf();
template <> __device__ __forceinline__ float norn_inf<float>() { return __uint_as_float(0x7f800000u); }
template <> __device__ __forceinline__ double norn_inf<double>() { return __longlong_as_double(0x7ff0000000000000ll); }
template <class T> static __device__ __forceinline__ T norn_nan();
template <> __device__ __forceinline__ float norn_nan<float>() { return __uint_as_float(0x7fc00000u); }
template <> __device__ __forceinline__ double norn_nan<double>() { return __longlong_as_double(0x7ff8000000000000ll); }

// Float to integer goes towards zero and ends at the ends of the type, NaN gives 0; narrowing integers wraps.
template <class T, class S> struct norn_caster { static __device__ __forceinline__ T go(S x) { return (T)x; } };
template <class T> static __device__ __forceinline__ T norn_from_real(double x) {
    const bool is_signed = (T)(-1) < (T)0;
    const unsigned long long top = 1ull << (sizeof(T) * 8 - 1);
    const double beyond = is_signed ? (double)top : 2 * (double)top, least = is_signed ? -(double)top : 0;
    if (x >= beyond) return (T)(is_signed ? top - 1 : top - 1 + top);
    if (x <= least) return (T)(is_signed ? top : 0);
    return x != x ? (T)0 : (T)x;
}
#define NORN_REAL_TO(T) \
    template <> struct norn_caster<T, float> { static __device__ __forceinline__ T go(float x) { return norn_from_real<T>((double)x); } }; \
    template <> struct norn_caster<T, double> { static __device__ __forceinline__ T go(double x) { return norn_from_real<T>(x); } };
NORN_REAL_TO(signed char) NORN_REAL_TO(unsigned char) NORN_REAL_TO(short) NORN_REAL_TO(unsigned short)
NORN_REAL_TO(int) NORN_REAL_TO(unsigned int) NORN_REAL_TO(long long) NORN_REAL_TO(unsigned long long)
template <class T, class S> static __device__ __forceinline__ T norn_cast(S x) { return norn_caster<T, S>::go(x); }

template <class T> struct norn_putter { template <class S> static __device__ __forceinline__ T go(S x) { return norn_cast<T>(x); } };
template <> struct norn_putter<norn_f16> {
    template <class S> static __device__ __forceinline__ norn_f16 go(S x) {
        norn_f16 h;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"((float)x));
        return h;
    }
};
template <> struct norn_putter<norn_bf16> {
    template <class S> static __device__ __forceinline__ norn_bf16 go(S x) {
        const unsigned u = __float_as_uint((float)x);
        norn_bf16 h;
        h.bits = (u & 0x7fffffffu) > 0x7f800000u ? (unsigned short)(u >> 16 | 0x40u)
                                                 : (unsigned short)((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
        return h;
    }
};
template <> struct norn_putter<norn_bool> {
    template <class S> static __device__ __forceinline__ norn_bool go(S x) { norn_bool b; b.byte = x != 0; return b; }
};
template <class T, class S> static __device__ __forceinline__ T norn_put(S x) { return norn_putter<T>::go(x); }

#define NORN_REAL(name, f, d) \
    static __device__ __forceinline__ float norn_##name(float x) { return f(x); } \
    static __device__ __forceinline__ double norn_##name(double x) { return d(x); } \
    template <class T> static __device__ __forceinline__ T norn_##name(T x) { return (T)d((double)x); }
NORN_REAL(sqrt, sqrtf, sqrt) NORN_REAL(exp, expf, exp) NORN_REAL(log, logf, log) NORN_REAL(log1p, log1pf, log1p)
NORN_REAL(expm1, expm1f, expm1) NORN_REAL(sin, sinf, sin) NORN_REAL(cos, cosf, cos) NORN_REAL(tan, tanf, tan)
NORN_REAL(asin, asinf, asin) NORN_REAL(acos, acosf, acos) NORN_REAL(atan, atanf, atan) NORN_REAL(sinh, sinhf, sinh)
NORN_REAL(cosh, coshf, cosh) NORN_REAL(tanh, tanhf, tanh) NORN_REAL(asinh, asinhf, asinh)
NORN_REAL(acosh, acoshf, acosh) NORN_REAL(atanh, atanhf, atanh) NORN_REAL(erf, erff, erf)
NORN_REAL(ceil, ceilf, ceil) NORN_REAL(floor, floorf, floor) NORN_REAL(rint, rintf, rint)

static __device__ __forceinline__ float norn_pow(float x, float y) { return powf(x, y); }
static __device__ __forceinline__ double norn_pow(double x, double y) { return pow(x, y); }
static __device__ __forceinline__ float norn_pow(float x, double y) { return powf(x, (float)y); }
static __device__ __forceinline__ double norn_pow(double x, float y) { return pow(x, (double)y); }
template <class T> static __device__ __forceinline__ float norn_pow(float x, T y) { return powf(x, (float)y); }
template <class T> static __device__ __forceinline__ double norn_pow(double x, T y) { return pow(x, (double)y); }
template <class T, class S> static __device__ __forceinline__ T norn_pow(T x, S y) {
    if (y < (S)0) return x == (T)1 ? (T)1 : (T)norn_cast<T>(pow((double)x, (double)y));
    T r = 1;
    for (unsigned long long n = (unsigned long long)y; n; n >>= 1, x *= x) if (n & 1) r *= x;
    return r;
}
template <class T> static __device__ __forceinline__ T norn_pow(T x, float y) { return norn_cast<T>(pow((double)x, (double)y)); }
template <class T> static __device__ __forceinline__ T norn_pow(T x, double y) { return norn_cast<T>(pow((double)x, y)); }

static __device__ __forceinline__ float norn_fmod(float x, float y) { return fmodf(x, y); }
static __device__ __forceinline__ double norn_fmod(double x, double y) { return fmod(x, y); }
template <class T> static __device__ __forceinline__ T norn_fmod(T x, T y) { return y == (T)0 ? (T)0 : (T)(x % y); }
static __device__ __forceinline__ float norn_mod(float x, float y) {
    const float r = fmodf(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}
static __device__ __forceinline__ double norn_mod(double x, double y) {
    const double r = fmod(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}
template <class T> static __device__ __forceinline__ T norn_mod(T x, T y) {
    if (y == (T)0) return (T)0;
    const T r = (T)(x % y);
    return r != (T)0 && (r < (T)0) != (y < (T)0) ? (T)(r + y) : r;
}
template <class T> static __device__ __forceinline__ T norn_min(T x, T y) { return x != x ? x : y != y ? y : x < y ? x : y; }
template <class T> static __device__ __forceinline__ T norn_max(T x, T y) { return x != x ? x : y != y ? y : x > y ? x : y; }
static __device__ __forceinline__ float norn_abs(float x) { return fabsf(x); }
static __device__ __forceinline__ double norn_abs(double x) { return fabs(x); }
template <class T> static __device__ __forceinline__ T norn_abs(T x) { return x < (T)0 ? (T)-x : x; }
template <class T> static __device__ __forceinline__ T norn_sign(T x) { return x != x ? x : (T)((x > (T)0) - (x < (T)0)); }
)";
