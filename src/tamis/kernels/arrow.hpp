// A string column through the Arrow PyCapsule interface, without copying.
#pragma once
#include <nanobind/nanobind.h>

#include <stdexcept>
#include <string>

#include "text.hpp"

// The two structures of the Arrow C data interface, as its specification gives them.
extern "C" {
struct ArrowSchema {
  const char *format, *name, *metadata;
  int64_t flags, n_children;
  ArrowSchema **children, *dictionary;
  void (*release)(ArrowSchema*);
  void* private_data;
};
struct ArrowArray {
  int64_t length, null_count, offset, n_buffers, n_children;
  const void** buffers;
  ArrowArray **children, *dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};
}

namespace tamis {

// Holds the capsules, which keep the buffers alive.
struct Column {
  nanobind::object capsules;
  Text text;

  explicit Column(nanobind::handle array) {
    capsules = array.attr("__arrow_c_array__")();
    auto pointer = [&](int i, const char* name) {
      void* p = PyCapsule_GetPointer(nanobind::object(capsules[i]).ptr(), name);
      if (!p) throw nanobind::python_error();
      return p;
    };
    auto* schema = static_cast<ArrowSchema*>(pointer(0, "arrow_schema"));
    auto* column = static_cast<ArrowArray*>(pointer(1, "arrow_array"));
    text.large = strcmp(schema->format, "U") == 0;
    if (!text.large && strcmp(schema->format, "u") != 0)
      throw std::invalid_argument(std::string("expected string or large_string, not Arrow format ") + schema->format);
    if (column->null_count != 0) throw std::invalid_argument("the text column has nulls: drop or fill them first");
    text.length = column->length;
    text.offset = column->offset;
    text.offsets = column->buffers[1];
    text.data = static_cast<const u8*>(column->buffers[2]);
    // an empty array may come without buffers; and no document may have no bytes to point at
    static const u8 none = 0;
    if (!text.data) text.data = &none;
    if (text.length > 0 && !text.offsets) throw std::invalid_argument("the text column has no offsets");
    if (text.length > INT32_MAX) throw std::invalid_argument("more than 2^31 documents in one batch");
    for (i64 row = 0; row < text.length; ++row) {
      i64 size = text.at(row + 1) - text.at(row);
      if (size < 0) throw std::invalid_argument("the text column's offsets are damaged");
      // positions in a document are 32-bit numbers; its normalized form can be three times as long
      if (size > INT32_MAX / 3)
        throw std::invalid_argument("document " + std::to_string(row) + " has " + std::to_string(size) +
                                    " bytes: the kernels take up to 715 million, split or drop it");
    }
  }
};

}  // namespace tamis
