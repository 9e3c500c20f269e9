/* The compiled twins of straw2.py, hash32.py and names.py: what placement spends its time on.
 *
 * The arguments are those of the twins, which are the ones to read first. Everything comes in as
 * contiguous buffers, is checked once, and is worked on without the interpreter's lock. Built by
 * setuptools for the stable ABI of Python 3.11; where that fails the twins serve.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Eight numbers at a time where the processor can, chosen when the module is loaded. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EVERY_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EVERY_PROCESSOR
#endif

#define MIX(a, b, c)                                                                               \
    do {                                                                                           \
        a = (a - b - c) ^ (c >> 13);                                                               \
        b = (b - c - a) ^ (a << 8);                                                                \
        c = (c - a - b) ^ (b >> 13);                                                               \
        a = (a - b - c) ^ (c >> 12);                                                               \
        b = (b - c - a) ^ (a << 16);                                                               \
        c = (c - a - b) ^ (b >> 5);                                                                \
        a = (a - b - c) ^ (c >> 3);                                                                \
        b = (b - c - a) ^ (a << 10);                                                               \
        c = (c - a - b) ^ (b >> 15);                                                               \
    } while (0)

enum { DRAWS = 0x10000, BLOCK = 64, LANES = 8 };

/* The low 16 bits of the hash of (x, ids[k], r) for `count` ids, a multiple of LANES. */
static inline void
draw_block(uint32_t x, const uint32_t *ids, uint32_t r, uint32_t *draws, int count)
{
    for (int k = 0; k < count; k++) {
        uint32_t a = x, b = ids[k], c = r, p = 231232, q = 1232;
        uint32_t h = 1315423911u ^ a ^ b ^ c;
        MIX(a, b, h);
        MIX(c, p, h);
        MIX(q, a, h);
        MIX(b, p, h);
        MIX(q, c, h);
        draws[k] = h & 0xFFFF;
    }
}

typedef struct {
    const uint32_t *x, *r, *ids;
    const int64_t *offset, *size, *row;
    const double *inverse, *negated_ln;
    int64_t *chosen;
    Py_ssize_t count, items;
} Straw2;

FOR_EVERY_PROCESSOR static void
choose_all(const Straw2 *s)
{
    uint32_t ids[BLOCK], draws[BLOCK];
    memset(ids, 0, sizeof ids);
    for (Py_ssize_t i = 0; i < s->count; i++) {
        const uint32_t *its = s->ids + s->offset[i];
        const double *inverse = s->inverse + s->row[i] * s->items + s->offset[i];
        int64_t best = 0;
        double least = INFINITY;
        for (int64_t at = 0; at < s->size[i]; at += BLOCK) {
            int64_t left = s->size[i] - at;
            int here = left < BLOCK ? (int)left : BLOCK;
            memcpy(ids, its + at, (size_t)here * sizeof *ids);
            draw_block(s->x[i], ids, s->r[i], draws, (here + LANES - 1) / LANES * LANES);
            for (int k = 0; k < here; k++) {
                double quotient = s->negated_ln[draws[k]] * inverse[at + k];
                if (quotient < least) { /* `least` is whole: so is what is below it, rounded down */
                    least = floor(quotient);
                    best = at + k;
                }
            }
        }
        s->chosen[i] = s->offset[i] + best;
    }
}

/* ------------------------------------------------------------------------------------- arguments */

static int
get_numbers(PyObject *from, Py_buffer *view, Py_ssize_t size, int flags, const char *name)
{
    if (PyObject_GetBuffer(from, view, flags | PyBUF_C_CONTIGUOUS) < 0)
        return -1;
    if (view->itemsize != size) {
        PyErr_Format(PyExc_TypeError, "%s: items of %zd bytes, not %zd", name, view->itemsize, size);
        PyBuffer_Release(view);
        return -1;
    }
    return 0;
}

static int
check(const Straw2 *s, Py_ssize_t rows)
{
    for (Py_ssize_t i = 0; i < s->count; i++) {
        if (s->offset[i] < 0 || s->size[i] < 1 || s->size[i] > s->items - s->offset[i] ||
            s->row[i] < 0 || s->row[i] >= rows)
            return -1;
    }
    return 0;
}

static PyObject *
choose_straw2(PyObject *module, PyObject *args)
{
    enum { X, R, OFFSET, SIZE, ROW, IDS, INVERSE, LN, CHOSEN, ARGUMENTS };
    static const char *names[] = {"x",   "r",       "offset",     "size",  "row",
                                  "ids", "inverse", "negated_ln", "chosen"};
    static const Py_ssize_t sizes[] = {4, 4, 8, 8, 8, 4, 8, 8, 8};
    PyObject *from[ARGUMENTS];
    Py_buffer views[ARGUMENTS];
    PyObject *result = NULL;
    int got = 0;
    if (!PyArg_ParseTuple(args, "OOOOOOOOO", &from[X], &from[R], &from[OFFSET], &from[SIZE],
                          &from[ROW], &from[IDS], &from[INVERSE], &from[LN], &from[CHOSEN]))
        return NULL;
    for (; got < ARGUMENTS; got++) {
        int flags = got == CHOSEN ? PyBUF_WRITABLE : 0;
        if (get_numbers(from[got], &views[got], sizes[got], flags, names[got]) < 0)
            goto end;
    }
    Straw2 s = {.x = views[X].buf,
                .r = views[R].buf,
                .ids = views[IDS].buf,
                .offset = views[OFFSET].buf,
                .size = views[SIZE].buf,
                .row = views[ROW].buf,
                .inverse = views[INVERSE].buf,
                .negated_ln = views[LN].buf,
                .chosen = views[CHOSEN].buf,
                .count = views[X].len / 4,
                .items = views[IDS].len / 4};
    for (int k = 0; k < ARGUMENTS; k++) {
        if (k != IDS && k != INVERSE && k != LN && views[k].len / sizes[k] != s.count) {
            PyErr_Format(PyExc_ValueError, "%s: not as long as x", names[k]);
            goto end;
        }
    }
    if (views[LN].len / 8 != DRAWS) {
        PyErr_SetString(PyExc_ValueError, "negated_ln: not a number for each draw");
        goto end;
    }
    if (check(&s, s.items ? views[INVERSE].len / 8 / s.items : 0) < 0) {
        PyErr_SetString(PyExc_ValueError, "offset, size or row: outside of the tables");
        goto end;
    }
    Py_BEGIN_ALLOW_THREADS
    choose_all(&s);
    Py_END_ALLOW_THREADS
    result = Py_NewRef(Py_None);
end:
    while (got-- > 0)
        PyBuffer_Release(&views[got]);
    return result;
}

/* ------------------------------------------------------------------------------------ one number */

/* The low 32 bits of each of `count` whole numbers; -1 with an exception if they are none. */
static int
low_words(PyObject *const *from, Py_ssize_t given, uint32_t *words, Py_ssize_t count)
{
    if (given != count) {
        PyErr_Format(PyExc_TypeError, "%zd numbers given, %zd needed", given, count);
        return -1;
    }
    for (Py_ssize_t k = 0; k < count; k++) {
        words[k] = (uint32_t)PyLong_AsUnsignedLongMask(from[k]);
        if (words[k] == UINT32_MAX && PyErr_Occurred())
            return -1;
    }
    return 0;
}

static PyObject *
hash32_2(PyObject *module, PyObject *const *from, Py_ssize_t given)
{
    uint32_t n[2], p = 231232, q = 1232;
    if (low_words(from, given, n, 2) < 0)
        return NULL;
    uint32_t h = 1315423911u ^ n[0] ^ n[1];
    MIX(n[0], n[1], h);
    MIX(p, n[0], h);
    MIX(n[1], q, h);
    return PyLong_FromUnsignedLong(h);
}

static PyObject *
hash32_3(PyObject *module, PyObject *const *from, Py_ssize_t given)
{
    uint32_t n[3], p = 231232, q = 1232;
    if (low_words(from, given, n, 3) < 0)
        return NULL;
    uint32_t h = 1315423911u ^ n[0] ^ n[1] ^ n[2];
    MIX(n[0], n[1], h);
    MIX(n[2], p, h);
    MIX(q, n[0], h);
    MIX(n[1], p, h);
    MIX(q, n[2], h);
    return PyLong_FromUnsignedLong(h);
}

static PyObject *
hash32_4(PyObject *module, PyObject *const *from, Py_ssize_t given)
{
    uint32_t n[4], p = 231232, q = 1232;
    if (low_words(from, given, n, 4) < 0)
        return NULL;
    uint32_t h = 1315423911u ^ n[0] ^ n[1] ^ n[2] ^ n[3];
    MIX(n[0], n[1], h);
    MIX(n[2], n[3], h);
    MIX(n[0], p, h);
    MIX(q, n[1], h);
    MIX(n[2], p, h);
    MIX(q, n[3], h);
    return PyLong_FromUnsignedLong(h);
}

/* ----------------------------------------------------------------------------------------- names */

static uint32_t
word(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static PyObject *
rjenkins(PyObject *module, PyObject *name)
{
    Py_buffer view;
    if (PyObject_GetBuffer(name, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    const unsigned char *at = view.buf;
    size_t left = (size_t)view.len;
    uint32_t a = 0x9E3779B9u, b = a, c = 0;
    for (; left >= 12; at += 12, left -= 12) {
        a += word(at);
        b += word(at + 4);
        c += word(at + 8);
        MIX(a, b, c);
    }
    /* the lowest byte of the last word is kept for the length */
    unsigned char rest[12] = {0};
    memcpy(rest, at, left < 8 ? left : 8);
    if (left > 8)
        memcpy(rest + 9, at + 8, left - 8);
    a += word(rest);
    b += word(rest + 4);
    c += word(rest + 8) + (uint32_t)view.len;
    MIX(a, b, c);
    PyBuffer_Release(&view);
    return PyLong_FromUnsignedLong(c);
}

static PyMethodDef methods[] = {
    {"choose_straw2", choose_straw2, METH_VARARGS, "See spirula.kernels.straw2."},
    {"hash32_2", (PyCFunction)(void (*)(void))hash32_2, METH_FASTCALL, "See spirula.kernels.hash32."},
    {"hash32_3", (PyCFunction)(void (*)(void))hash32_3, METH_FASTCALL, "See spirula.kernels.hash32."},
    {"hash32_4", (PyCFunction)(void (*)(void))hash32_4, METH_FASTCALL, "See spirula.kernels.hash32."},
    {"rjenkins", rjenkins, METH_O, "See spirula.kernels.names."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_placement",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__placement(void)
{
    return PyModuleDef_Init(&definition);
}
