/* The compiled twins of crc32c.py and frames.py: checksums, and messages in revision 1 of msgr2.
 *
 * A message of a few KiB is built from ten pieces with four checksums, and taken apart again; each
 * is one call here. A large one is received into bytes that nobody filled before. Built by
 * setuptools for the stable ABI of Python 3.11; where that fails the twins serve.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <string.h>

#include "_crc32c.h"

/* -------------------------------------------------------------------------------------- checksums */

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
    make_crc();
    return PyModuleDef_Init(&definition);
}
