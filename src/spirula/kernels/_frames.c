/* The compiled twins of crc32c.py and frames.py: checksums, and messages in revision 1 of msgr2.
 *
 * A message of a few KiB is built from ten pieces with four checksums, and taken apart again; each
 * is one call here. A large one is received into bytes that nobody filled before. Built by setuptools for the stable ABI of Python 3.11; where that fails the
 * twins serve.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_INSTRUCTION 1
#if __GNUC__ >= 9 || defined(__clang__)
#define HAVE_WIDE 1
#include <immintrin.h>
#endif
#endif

/* -------------------------------------------------------------------------------------- checksums */

#define POLYNOMIAL 0x82F63B78u

static uint32_t tables[8][256];

static void
make_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t r = byte;
        for (int bit = 0; bit < 8; bit++)
            r = r >> 1 ^ (r & 1 ? POLYNOMIAL : 0);
        tables[0][byte] = r;
    }
    for (int k = 1; k < 8; k++)
        for (int byte = 0; byte < 256; byte++)
            tables[k][byte] = tables[0][tables[k - 1][byte] & 0xFF] ^ tables[k - 1][byte] >> 8;
}

static uint32_t
crc_by_table(uint32_t r, const unsigned char *at, size_t left)
{
    for (; left >= 8; at += 8, left -= 8) {
        r ^= (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        r = tables[7][r & 0xFF] ^ tables[6][r >> 8 & 0xFF] ^ tables[5][r >> 16 & 0xFF] ^
            tables[4][r >> 24] ^ tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^
            tables[0][at[7]];
    }
    for (; left; at++, left--)
        r = tables[0][(r ^ *at) & 0xFF] ^ r >> 8;
    return r;
}

#ifdef HAVE_INSTRUCTION
/* The instruction takes three cycles and begins one in each: three runs of a buffer at a time, whose
 * registers are brought together by what so many zero bytes do to one. */
#define LONG_RUN 4096
#define SHORT_RUN 256

static uint32_t behind_long[4][256], behind_short[4][256];

/* What `zeros` zero bytes make of a register is linear: tabled by each of its bytes. */
static void
make_shift(uint32_t shift[4][256], size_t zeros)
{
    static const unsigned char nothing[64];
    for (int byte = 0; byte < 4; byte++) {
        shift[byte][0] = 0;
        for (int bit = 0; bit < 8; bit++) {
            uint32_t r = (uint32_t)1 << (8 * byte + bit);
            for (size_t left = zeros; left; left -= 64)
                r = crc_by_table(r, nothing, 64);
            shift[byte][1 << bit] = r;
        }
        for (int value = 1; value < 256; value++) {
            int low = value & -value;
            shift[byte][value] = shift[byte][low] ^ shift[byte][value ^ low];
        }
    }
}

static inline uint32_t
shifted(uint32_t shift[4][256], uint32_t r)
{
    return shift[0][r & 0xFF] ^ shift[1][r >> 8 & 0xFF] ^ shift[2][r >> 16 & 0xFF] ^
           shift[3][r >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t
three_runs(uint32_t r, const unsigned char *at, size_t run, uint32_t shift[4][256])
{
    uint64_t a = r, b = 0, c = 0, word[3];
    for (size_t k = 0; k < run; k += 8) {
        memcpy(&word[0], at + k, 8);
        memcpy(&word[1], at + run + k, 8);
        memcpy(&word[2], at + 2 * run + k, 8);
        a = __builtin_ia32_crc32di(a, word[0]);
        b = __builtin_ia32_crc32di(b, word[1]);
        c = __builtin_ia32_crc32di(c, word[2]);
    }
    return shifted(shift, shifted(shift, (uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) static uint32_t
crc_by_instruction(uint32_t r, const unsigned char *at, size_t left)
{
    for (; left >= 3 * LONG_RUN; at += 3 * LONG_RUN, left -= 3 * LONG_RUN)
        r = three_runs(r, at, LONG_RUN, behind_long);
    for (; left >= 3 * SHORT_RUN; at += 3 * SHORT_RUN, left -= 3 * SHORT_RUN)
        r = three_runs(r, at, SHORT_RUN, behind_short);
    uint64_t wide = r, word;
    for (; left >= 8; at += 8, left -= 8) {
        memcpy(&word, at, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    r = (uint32_t)wide;
    for (; left; at++, left--)
        r = __builtin_ia32_crc32qi(r, *at);
    return r;
}
#endif

#ifdef HAVE_WIDE
/* Where 512 bits are multiplied without carries at a time, a third of that time: as polynomials,
 * four registers of a buffer are brought forward over what is behind them, again and again, and the
 * 16 bytes that are left in the end have the sum of all. */
#define WIDE 256

static uint64_t over_wide[2], over_64[2], over_16[2];

/* x to a power modulo the polynomial, both with the lowest power in the highest bit. */
static uint64_t
power(unsigned exponent)
{
    uint32_t r = 0x80000000u;
    while (exponent--)
        r = r >> 1 ^ (r & 1 ? POLYNOMIAL : 0);
    return (uint64_t)r << 1;
}

/* What brings the two halves of 128 bits forward over so many bytes. */
static void
make_over(uint64_t over[2], unsigned bytes)
{
    over[0] = power(8 * bytes + 32);
    over[1] = power(8 * bytes - 32);
}

#define WITH_WIDE __attribute__((target("sse4.2,pclmul,avx512f,avx512vl,vpclmulqdq")))

WITH_WIDE static inline __m512i
forward(__m512i r, __m512i over, __m512i next)
{
    __m512i low = _mm512_clmulepi64_epi128(r, over, 0x00);
    __m512i high = _mm512_clmulepi64_epi128(r, over, 0x11);
    return _mm512_ternarylogic_epi64(low, high, next, 0x96); /* the three of them added */
}

WITH_WIDE static uint32_t
crc_by_wide(uint32_t r, const unsigned char *at, size_t left)
{
    if (left < 4 * WIDE)
        return crc_by_instruction(r, at, left);
    __m512i a = _mm512_xor_si512(_mm512_loadu_si512(at),
                                 _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)r)));
    __m512i b = _mm512_loadu_si512(at + 64), c = _mm512_loadu_si512(at + 128);
    __m512i d = _mm512_loadu_si512(at + 192);
    __m512i over = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)over_wide));
    for (at += WIDE, left -= WIDE; left >= WIDE; at += WIDE, left -= WIDE) {
        a = forward(a, over, _mm512_loadu_si512(at));
        b = forward(b, over, _mm512_loadu_si512(at + 64));
        c = forward(c, over, _mm512_loadu_si512(at + 128));
        d = forward(d, over, _mm512_loadu_si512(at + 192));
    }
    over = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)over_64));
    a = forward(forward(forward(a, over, b), over, c), over, d);
    __m128i part[4], one = _mm_loadu_si128((const __m128i *)over_16);
    _mm512_storeu_si512(part, a);
    for (int k = 0; k < 3; k++) {
        __m128i low = _mm_clmulepi64_si128(part[k], one, 0x00);
        __m128i high = _mm_clmulepi64_si128(part[k], one, 0x11);
        part[k + 1] = _mm_xor_si128(part[k + 1], _mm_xor_si128(low, high));
    }
    r = crc_by_instruction(0, (const unsigned char *)&part[3], sizeof part[3]);
    return crc_by_instruction(r, at, left);
}
#endif

static uint32_t (*crc)(uint32_t, const unsigned char *, size_t) = crc_by_table;

/* From so many bytes on others run meanwhile; less is summed sooner than they would have begun. */
#define MUCH (256 << 10)

static uint32_t
crc_of(uint32_t seed, const Py_buffer *held)
{
    uint32_t sum;
    if (held->len < MUCH)
        return crc(seed, held->buf, (size_t)held->len);
    Py_BEGIN_ALLOW_THREADS
    sum = crc(seed, held->buf, (size_t)held->len);
    Py_END_ALLOW_THREADS
    return sum;
}

static PyObject *
crc32c(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "crc32c takes a seed and data");
        return NULL;
    }
    unsigned long seed = PyLong_AsUnsignedLong(args[0]);
    if (seed > UINT32_MAX) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_OverflowError, "the seed has more than 32 bits");
        return NULL;
    }
    Py_buffer held;
    if (PyObject_GetBuffer(args[1], &held, PyBUF_SIMPLE) < 0)
        return NULL;
    uint32_t sum = crc_of((uint32_t)seed, &held);
    PyBuffer_Release(&held);
    return PyLong_FromUnsignedLong(sum);
}

/* ----------------------------------------------------------------------------------------- frames */

#define PREAMBLE 32
#define COVERED 28
#define HEADER 41
#define FRONT (PREAMBLE + HEADER + 4)
#define EPILOGUE 13
#define AROUND (FRONT + EPILOGUE)
#define TAG_MESSAGE 17
#define COMPLETE 0x0E
#define SEED 0xFFFFFFFFu

static inline uint32_t
get32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline void
put32(unsigned char *at, uint32_t value)
{
    at[0] = (unsigned char)value;
    at[1] = (unsigned char)(value >> 8);
    at[2] = (unsigned char)(value >> 16);
    at[3] = (unsigned char)(value >> 24);
}

/* The list of a message's segments; NULL, without an error, if a checksum differs. */
static PyObject *
segments_of(const unsigned char *at, const Py_ssize_t *sizes, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);
    if (list == NULL)
        return NULL;
    const unsigned char *from = at + PREAMBLE, *end = at + FRONT + sizes[1] + sizes[2] + sizes[3];
    for (Py_ssize_t k = 0; k < count; k++) {
        uint32_t sum = k ? get32(end + 1 + 4 * (k - 1)) : get32(at + PREAMBLE + HEADER);
        if (crc(SEED, from, (size_t)sizes[k]) != sum) {
            Py_DECREF(list);
            return NULL;
        }
        PyObject *segment = PyBytes_FromStringAndSize((const char *)from, sizes[k]);
        if (segment == NULL || PyList_SetItem(list, k, segment) < 0) {
            Py_DECREF(list);
            return NULL;
        }
        from += sizes[k] + (k ? 0 : 4);
    }
    return list;
}

static PyObject *
split_message(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    if (given != 4) {
        PyErr_SetString(PyExc_TypeError, "split_message takes a buffer, two places and a size");
        return NULL;
    }
    Py_ssize_t pos = PyLong_AsSsize_t(args[1]), end = PyLong_AsSsize_t(args[2]);
    Py_ssize_t below = PyLong_AsSsize_t(args[3]);
    if (PyErr_Occurred())
        return NULL;
    Py_buffer held;
    if (PyObject_GetBuffer(args[0], &held, PyBUF_SIMPLE) < 0)
        return NULL;
    PyObject *result = NULL;
    const unsigned char *at = (const unsigned char *)held.buf + pos;
    if (pos < 0 || end > held.len || end - pos < PREAMBLE)
        goto no;
    Py_ssize_t count = at[1];
    Py_ssize_t sizes[4] = {get32(at + 2), get32(at + 8), get32(at + 14), get32(at + 20)};
    if (at[0] != TAG_MESSAGE || sizes[0] != HEADER || at[26])
        goto no;
    Py_ssize_t least = sizes[3] ? 4 : sizes[2] ? 3 : sizes[1] ? 2 : 0;
    Py_ssize_t size = sizes[1] + sizes[2] + sizes[3];
    if (count != least || size >= below || crc(0, at, COVERED) != get32(at + COVERED))
        goto no;
    PyObject *segments = NULL;
    if (end - pos < AROUND + size)
        segments = PyList_New(0);
    else if (at[FRONT + size] == COMPLETE)
        segments = segments_of(at, sizes, count);
    if (segments != NULL)
        result = Py_BuildValue("(nN)", AROUND + size, segments);
    if (result != NULL || PyErr_Occurred())
        goto end;
no:
    result = Py_NewRef(Py_None);
end:
    PyBuffer_Release(&held);
    return result;
}

static PyObject *
join_message(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    if (given != 4) {
        PyErr_SetString(PyExc_TypeError, "join_message takes header, front, data and a size");
        return NULL;
    }
    Py_ssize_t below = PyLong_AsSsize_t(args[3]);
    if (below == -1 && PyErr_Occurred())
        return NULL;
    Py_buffer held[3];
    int got = 0;
    PyObject *result = NULL;
    for (; got < 3; got++)
        if (PyObject_GetBuffer(args[got], &held[got], PyBUF_SIMPLE) < 0)
            goto end;
    Py_ssize_t front = held[1].len, data = held[2].len;
    if (held[0].len != HEADER || !front || front > UINT32_MAX || data > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "not a header and a front");
        goto end;
    }
    int apart = data >= below;
    Py_ssize_t size = FRONT + front + (apart ? 0 : data + EPILOGUE);
    PyObject *frame = PyBytes_FromStringAndSize(NULL, size);
    if (frame == NULL)
        goto end;
    unsigned char last[EPILOGUE];
    unsigned char *at = (unsigned char *)PyBytes_AsString(frame);
    unsigned char *behind = apart ? last : at + FRONT + front + data;
    memset(at, 0, PREAMBLE);
    at[0] = TAG_MESSAGE;
    at[1] = data ? 4 : 2;
    put32(at + 2, HEADER);
    at[6] = 8;
    put32(at + 8, (uint32_t)front);
    at[12] = 8;
    if (data) {
        at[18] = 8;
        put32(at + 20, (uint32_t)data);
        at[25] = 4096 >> 8;
    }
    put32(at + COVERED, crc(0, at, COVERED));
    memcpy(at + PREAMBLE, held[0].buf, HEADER);
    put32(at + PREAMBLE + HEADER, crc(SEED, held[0].buf, HEADER));
    memcpy(at + FRONT, held[1].buf, (size_t)front);
    if (!apart)
        memcpy(at + FRONT + front, held[2].buf, (size_t)data);
    behind[0] = COMPLETE;
    put32(behind + 1, crc(SEED, held[1].buf, (size_t)front));
    put32(behind + 5, data ? SEED : 0);
    put32(behind + 9, data ? crc_of(SEED, &held[2]) : 0);
    if (apart)
        result = Py_BuildValue("(Ny#)", frame, last, (Py_ssize_t)EPILOGUE);
    else
        result = frame;
end:
    while (got-- > 0)
        PyBuffer_Release(&held[got]);
    return result;
}

/* ----------------------------------------------------------------------------- memory to receive in */

typedef struct {
    PyObject_HEAD
    PyObject *bytes;
} Unwritten;

/* Exports the memory of its bytes, and those as the owner: it is of no use after that itself. */
static int
unwritten_buffer(PyObject *self, Py_buffer *view, int flags)
{
    PyObject *bytes = ((Unwritten *)self)->bytes;
    return PyBuffer_FillInfo(view, bytes, PyBytes_AsString(bytes), PyBytes_Size(bytes), 0, flags);
}

static void
unwritten_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    Py_XDECREF(((Unwritten *)self)->bytes);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyType_Slot unwritten_slots[] = {
    {Py_bf_getbuffer, unwritten_buffer},
    {Py_tp_dealloc, unwritten_dealloc},
    {0, NULL},
};

static PyType_Spec unwritten_spec = {
    .name = "spirula.kernels._frames.Unwritten",
    .basicsize = sizeof(Unwritten),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = unwritten_slots,
};

typedef struct {
    PyTypeObject *unwritten;
} State;

static PyObject *
unwritten(PyObject *module, PyObject *given)
{
    Py_ssize_t size = PyLong_AsSsize_t(given);
    if (size < 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "fewer than no bytes");
        return NULL;
    }
    PyTypeObject *type = ((State *)PyModule_GetState(module))->unwritten;
    Unwritten *made = (Unwritten *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (made == NULL)
        return NULL;
    PyObject *view = NULL;
    made->bytes = PyBytes_FromStringAndSize(NULL, size);
    if (made->bytes != NULL)
        view = PyMemoryView_FromObject((PyObject *)made);
    Py_DECREF(made);
    return view;
}

static int
prepare(PyObject *module)
{
    State *state = PyModule_GetState(module);
    state->unwritten = (PyTypeObject *)PyType_FromModuleAndSpec(module, &unwritten_spec, NULL);
    return state->unwritten == NULL ? -1 : 0;
}

static int
visit(PyObject *module, visitproc visit, void *arg)
{
    Py_VISIT(((State *)PyModule_GetState(module))->unwritten);
    return 0;
}

static int
clear(PyObject *module)
{
    Py_CLEAR(((State *)PyModule_GetState(module))->unwritten);
    return 0;
}

static void
release(void *module)
{
    clear(module);
}

static PyMethodDef methods[] = {
    {"crc32c", (PyCFunction)(void (*)(void))crc32c, METH_FASTCALL, "See spirula.kernels.crc32c."},
    {"join_message", (PyCFunction)(void (*)(void))join_message, METH_FASTCALL,
     "See spirula.kernels.frames."},
    {"split_message", (PyCFunction)(void (*)(void))split_message, METH_FASTCALL,
     "See spirula.kernels.frames."},
    {"unwritten", unwritten, METH_O, "See spirula.kernels.frames."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, prepare}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_frames",
    .m_size = sizeof(State),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = visit,
    .m_clear = clear,
    .m_free = release,
};

PyMODINIT_FUNC
PyInit__frames(void)
{
    make_tables();
#ifdef HAVE_INSTRUCTION
    if (__builtin_cpu_supports("sse4.2")) {
        make_shift(behind_long, LONG_RUN);
        make_shift(behind_short, SHORT_RUN);
        crc = crc_by_instruction;
#ifdef HAVE_WIDE
        if (__builtin_cpu_supports("pclmul") && __builtin_cpu_supports("avx512f") &&
            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("vpclmulqdq")) {
            make_over(over_wide, WIDE);
            make_over(over_64, 64);
            make_over(over_16, 16);
            crc = crc_by_wide;
        }
#endif
    }
#endif
    return PyModuleDef_Init(&definition);
}
