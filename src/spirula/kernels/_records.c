/* The compiled twin of records.py: keys and records of the store on disk, and of its journal.
 *
 * Each small write makes some of these; all are made from plain values in one call. Built by
 * setuptools for the stable ABI of Python 3.11; where that fails the twin serves.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <string.h>

static unsigned char *
put_be(unsigned char *at, uint64_t value, int bytes)
{
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
        *at++ = (unsigned char)(value >> shift);
    return at;
}

static unsigned char *
put_le(unsigned char *at, uint64_t value, int bytes)
{
    for (int k = 0; k < bytes; k++, value >>= 8)
        *at++ = (unsigned char)value;
    return at;
}

static unsigned char *
put_bytes(unsigned char *at, const void *from, size_t size)
{
    memcpy(at, from, size);
    return at + size;
}

/* A text as UTF-8 in which surrogates are the bytes that they stand for. What is given may need
 * `*owner` to live: let go of that afterwards, if there is one. */
static const char *
utf8_of(PyObject *text, Py_ssize_t *size, PyObject **owner)
{
    *owner = NULL;
    if (!PyUnicode_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "a name is a str");
        return NULL;
    }
    const char *found = PyUnicode_AsUTF8AndSize(text, size);
    if (found || !PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
        return found;
    PyErr_Clear();
    *owner = PyUnicode_AsEncodedString(text, "utf-8", "surrogateescape");
    char *bytes;
    if (!*owner || PyBytes_AsStringAndSize(*owner, &bytes, size) < 0)
        return NULL;
    return bytes;
}

/* ------------------------------------------------------------------------------------ object keys */

static uint32_t
reversed_bits(uint32_t value)
{
    value = (value >> 1 & 0x55555555u) | (value & 0x55555555u) << 1;
    value = (value >> 2 & 0x33333333u) | (value & 0x33333333u) << 2;
    value = (value >> 4 & 0x0F0F0F0Fu) | (value & 0x0F0F0F0Fu) << 4;
    value = (value >> 8 & 0x00FF00FFu) | (value & 0x00FF00FFu) << 8;
    return value >> 16 | value << 16;
}

static unsigned char *
put_escaped(unsigned char *at, const char *name, Py_ssize_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (Py_ssize_t k = 0; k < size; k++) {
        unsigned char byte = (unsigned char)name[k];
        if (byte >= '$' && byte <= '}') {
            *at++ = byte;
            continue;
        }
        *at++ = byte < '$' ? '#' : '~';
        *at++ = (unsigned char)digits[byte >> 4];
        *at++ = (unsigned char)digits[byte & 15];
    }
    *at++ = '!';
    return at;
}

static PyObject *
object_key(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 9) {
        PyErr_SetString(PyExc_TypeError, "object_key takes 9 arguments");
        return NULL;
    }
    char *prefix;
    Py_ssize_t prefix_size;
    if (PyBytes_AsStringAndSize(args[0], &prefix, &prefix_size) < 0)
        return NULL;
    long shard = PyLong_AsLong(args[1]);
    long long pool = PyLong_AsLongLong(args[2]);
    unsigned long long hash = PyLong_AsUnsignedLongLong(args[3]);
    unsigned long long snap = PyLong_AsUnsignedLongLong(args[7]);
    unsigned long long generation = PyLong_AsUnsignedLongLong(args[8]);
    if (PyErr_Occurred())
        return NULL;
    if (shard < -128 || shard > 127 || hash > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a shard has 8 bits, a hash 32");
        return NULL;
    }
    const char *texts[3];
    Py_ssize_t sizes[3];
    PyObject *owners[3] = {NULL, NULL, NULL}, *result = NULL;
    size_t most = (size_t)prefix_size + 64;
    for (int k = 0; k < 3; k++) {
        texts[k] = utf8_of(args[4 + k], &sizes[k], &owners[k]);
        if (!texts[k])
            goto end;
        most += 3 * (size_t)sizes[k];
    }
    unsigned char few[512], *made = most <= sizeof few ? few : PyMem_Malloc(most);
    if (!made) {
        PyErr_NoMemory();
        goto end;
    }
    unsigned char *at = put_bytes(made, prefix, (size_t)prefix_size);
    *at++ = (unsigned char)(shard + 128);
    at = put_be(at, (uint64_t)pool + (UINT64_C(1) << 63), 8);
    at = put_be(at, reversed_bits((uint32_t)hash), 4);
    at = put_escaped(at, texts[0], sizes[0]);
    const char *placed_by = texts[1], *name = texts[2];
    Py_ssize_t placed_size = sizes[1], size = sizes[2];
    Py_ssize_t common = placed_size < size ? placed_size : size;
    int order = placed_size ? memcmp(name, placed_by, (size_t)common) : 0;
    if (placed_size && !order)
        order = (size > placed_size) - (size < placed_size);
    if (order) {
        at = put_escaped(at, placed_by, placed_size);
        *at++ = order < 0 ? '<' : '>';
        at = put_escaped(at, name, size);
    }
    else {
        at = put_escaped(at, name, size);
        *at++ = '=';
    }
    at = put_be(at, snap, 8);
    at = put_be(at, generation, 8);
    *at++ = 'o';
    result = PyBytes_FromStringAndSize((char *)made, at - made);
    if (made != few)
        PyMem_Free(made);
end:
    for (int k = 0; k < 3; k++)
        Py_XDECREF(owners[k]);
    return result;
}

/* --------------------------------------------------------------------------------------- objects */

enum { ONODE_HEAD = 70, ATTR_HEAD = 6 };

/* Lengths of all attributes with their heads, and how many; -1 with an error. */
static Py_ssize_t
attrs_size(PyObject *attrs)
{
    PyObject *name, *value, *owner;
    Py_ssize_t pos = 0, all = 0, size;
    while (PyDict_Next(attrs, &pos, &name, &value)) {
        if (!utf8_of(name, &size, &owner)) {
            Py_XDECREF(owner);
            return -1;
        }
        Py_XDECREF(owner);
        if (!PyBytes_Check(value)) {
            PyErr_SetString(PyExc_TypeError, "the value of an attribute is bytes");
            return -1;
        }
        if (size > UINT16_MAX || PyBytes_Size(value) > UINT32_MAX) {
            PyErr_SetString(PyExc_OverflowError, "an attribute is too large");
            return -1;
        }
        all += ATTR_HEAD + size + PyBytes_Size(value);
    }
    return all;
}

static PyObject *
onode_record(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 11 || !PyDict_Check(args[9]) || !PyTuple_Check(args[6]) ||
        PyTuple_Size(args[6]) != 3) {
        PyErr_SetString(PyExc_TypeError, "onode_record takes 11 arguments, see its twin");
        return NULL;
    }
    uint64_t numbers[5], hint[3];
    for (int k = 0; k < 5; k++)
        numbers[k] = PyLong_AsUnsignedLongLong(args[1 + k]);
    for (int k = 0; k < 3; k++)
        hint[k] = PyLong_AsUnsignedLongLong(PyTuple_GetItem(args[6], k));
    long flags = PyLong_AsLong(args[0]);
    if (PyErr_Occurred())
        return NULL;
    char *bits, *header, *shard;
    Py_ssize_t bits_size, header_size, shard_size;
    if (PyBytes_AsStringAndSize(args[7], &bits, &bits_size) < 0 ||
        PyBytes_AsStringAndSize(args[8], &header, &header_size) < 0 ||
        PyBytes_AsStringAndSize(args[10], &shard, &shard_size) < 0)
        return NULL;
    Py_ssize_t of_attrs = attrs_size(args[9]), number = PyDict_Size(args[9]);
    if (of_attrs < 0)
        return NULL;
    if (flags & ~0xFF || hint[2] > UINT32_MAX || bits_size > UINT16_MAX ||
        header_size > UINT32_MAX || number > UINT16_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a part of an object's record is too large");
        return NULL;
    }
    Py_ssize_t size = ONODE_HEAD + bits_size + header_size + of_attrs + shard_size;
    PyObject *result = PyBytes_FromStringAndSize(NULL, size);
    if (!result)
        return NULL;
    unsigned char *at = (unsigned char *)PyBytes_AsString(result);
    *at++ = 1;
    *at++ = (unsigned char)flags;
    for (int k = 0; k < 5; k++)
        at = put_le(at, numbers[k], 8);
    at = put_le(at, hint[0], 8);
    at = put_le(at, hint[1], 8);
    at = put_le(at, hint[2], 4);
    at = put_le(at, (uint64_t)bits_size, 2);
    at = put_le(at, (uint64_t)header_size, 4);
    at = put_le(at, (uint64_t)number, 2);
    at = put_bytes(at, bits, (size_t)bits_size);
    at = put_bytes(at, header, (size_t)header_size);
    PyObject *name, *value, *owner;
    Py_ssize_t pos = 0, name_size;
    while (PyDict_Next(args[9], &pos, &name, &value)) {
        const char *text = utf8_of(name, &name_size, &owner);
        if (!text) {
            Py_XDECREF(owner);
            Py_DECREF(result);
            return NULL;
        }
        size_t length = (size_t)PyBytes_Size(value);
        at = put_le(at, (uint64_t)name_size, 2);
        at = put_le(at, length, 4);
        at = put_bytes(at, text, (size_t)name_size);
        at = put_bytes(at, PyBytes_AsString(value), length);
        Py_XDECREF(owner);
    }
    put_bytes(at, shard, (size_t)shard_size);
    return result;
}

/* ---------------------------------------------------------------------------------------- shards */

enum { SHARD_BLOCKS = 64, SHARD_HEAD = 5, RUN = 9 };

static PyObject *
shard_record(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 5) {
        PyErr_SetString(PyExc_TypeError, "shard_record takes 5 arguments");
        return NULL;
    }
    long kind = PyLong_AsLong(args[0]), width = PyLong_AsLong(args[1]), blobs = PyLong_AsLong(args[2]);
    if (PyErr_Occurred())
        return NULL;
    Py_buffer addresses, sums;
    if (PyObject_GetBuffer(args[3], &addresses, PyBUF_C_CONTIGUOUS) < 0)
        return NULL;
    if (PyObject_GetBuffer(args[4], &sums, PyBUF_C_CONTIGUOUS) < 0) {
        PyBuffer_Release(&addresses);
        return NULL;
    }
    PyObject *result = NULL;
    Py_ssize_t blocks = addresses.len / 8;
    if (addresses.itemsize != 8 || blocks > SHARD_BLOCKS || sums.len != blocks * sums.itemsize ||
        (sums.itemsize != 4 && sums.itemsize != 8) || width < 0 || width > sums.itemsize ||
        (kind | blobs) & ~0xFF) {
        PyErr_SetString(PyExc_ValueError, "no shard of up to 64 blocks with a sum for each");
        goto end;
    }
    unsigned char made[SHARD_HEAD + SHARD_BLOCKS * (RUN + 8)], *at = made + SHARD_HEAD;
    const unsigned char *from = addresses.buf, *values = sums.buf;
    uint64_t first = 0, following = 0, address;
    Py_ssize_t start = 0, runs = 0;
    for (Py_ssize_t k = 0; k <= blocks; k++) {
        address = 0;
        if (k < blocks)
            memcpy(&address, from + 8 * k, 8);
        /* A run of blocks ends where the next is not behind it, one of holes where data begins. */
        if (k && (k == blocks || address != following || (!address) != (!first))) {
            if (first || k < blocks) {
                at = put_le(at, first, 8);
                *at++ = (unsigned char)(k - start);
                runs++;
            }
            start = k;
        }
        if (k == start)
            first = address;
        following = address ? address + 1 : 0;
    }
    made[0] = 1;
    made[1] = (unsigned char)kind;
    made[2] = (unsigned char)blocks;
    made[3] = (unsigned char)runs;
    made[4] = (unsigned char)blobs;
    for (Py_ssize_t k = 0; k < blocks && width; k++) {
        uint64_t sum = 0;
        if (sums.itemsize == 8)
            memcpy(&sum, values + 8 * k, 8);
        else {
            uint32_t half;
            memcpy(&half, values + 4 * k, 4);
            sum = half;
        }
        if (width < 8 && sum >> 8 * width) {
            PyErr_SetString(PyExc_OverflowError, "a checksum is too large");
            goto end;
        }
        at = put_le(at, sum, (int)width);
    }
    result = PyBytes_FromStringAndSize((char *)made, at - made);
end:
    PyBuffer_Release(&sums);
    PyBuffer_Release(&addresses);
    return result;
}

/* --------------------------------------------------------------------------------------- journal */

/* The key or value of a change, NULL with an error unless it is bytes. */
static const char *
bytes_of(PyObject *part, size_t *size)
{
    char *found;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(part, &found, &length) < 0)
        return NULL;
    if (length >= UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a key or value is too large");
        return NULL;
    }
    *size = (size_t)length;
    return found;
}

static PyObject *
pack_changes(PyObject *module, PyObject *args)
{
    PyObject *changes, *ranges, *target, *key, *value;
    Py_ssize_t begin, pos = 0;
    Py_buffer into;
    if (!PyArg_ParseTuple(args, "O!O!On", &PyDict_Type, &changes, &PyList_Type, &ranges, &target,
                          &begin))
        return NULL;
    size_t keys = (size_t)PyDict_Size(changes), bounds = 2 * (size_t)PyList_Size(ranges);
    size_t of_keys = 0, of_values = 0, of_bounds = 0, size = 0;
    while (PyDict_Next(changes, &pos, &key, &value)) {
        if (!bytes_of(key, &size))
            return NULL;
        of_keys += size;
        if (value != Py_None) {
            if (!bytes_of(value, &size))
                return NULL;
            of_values += size;
        }
    }
    for (size_t k = 0; k < bounds; k++) {
        PyObject *range = PyList_GetItem(ranges, (Py_ssize_t)(k / 2));
        if (!PyTuple_Check(range)) {
            PyErr_SetString(PyExc_TypeError, "a range is a tuple of its bounds");
            return NULL;
        }
        PyObject *bound = PyTuple_GetItem(range, k % 2);
        if (!bound || !bytes_of(bound, &size))
            return NULL;
        of_bounds += size;
    }
    size_t heads = 4 * (2 * keys + bounds), all = heads + of_keys + of_values + of_bounds;
    if (PyObject_GetBuffer(target, &into, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS) < 0)
        return NULL;
    if (begin >= 0 && begin <= into.len && all <= (size_t)(into.len - begin)) {
        unsigned char *head = (unsigned char *)into.buf + begin;
        unsigned char *key_at = head + heads, *value_at = key_at + of_keys;
        unsigned char *length_at = head + 4 * keys, *bound_at = value_at + of_values;
        pos = 0;
        while (PyDict_Next(changes, &pos, &key, &value)) {
            const char *from = bytes_of(key, &size);
            key_at = put_bytes(key_at, from, size);
            head = put_le(head, size, 4);
            if (value == Py_None)
                length_at = put_le(length_at, UINT32_MAX, 4);
            else {
                from = bytes_of(value, &size);
                value_at = put_bytes(value_at, from, size);
                length_at = put_le(length_at, size, 4);
            }
        }
        for (size_t k = 0; k < bounds; k++) {
            PyObject *range = PyList_GetItem(ranges, (Py_ssize_t)(k / 2));
            const char *from = bytes_of(PyTuple_GetItem(range, k % 2), &size);
            bound_at = put_bytes(bound_at, from, size);
            length_at = put_le(length_at, size, 4);
        }
    }
    PyBuffer_Release(&into);
    return PyLong_FromSize_t(all);
}

static PyMethodDef methods[] = {
    {"object_key", (PyCFunction)(void (*)(void))object_key, METH_FASTCALL,
     "See spirula.kernels.records."},
    {"onode_record", (PyCFunction)(void (*)(void))onode_record, METH_FASTCALL,
     "See spirula.kernels.records."},
    {"pack_changes", pack_changes, METH_VARARGS, "See spirula.kernels.records."},
    {"shard_record", (PyCFunction)(void (*)(void))shard_record, METH_FASTCALL,
     "See spirula.kernels.records."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_records",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__records(void)
{
    return PyModuleDef_Init(&definition);
}
