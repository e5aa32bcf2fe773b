// The Python binding. Arrow arrays come in through the Arrow PyCapsule interface, NumPy arrays go out; the GIL is
// released while a kernel runs.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <stdexcept>

#include "arrow.hpp"
#include "html.hpp"
#include "isa.hpp"
#include "sets.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace tamis;

namespace {

template <class T>
using In = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

std::vector<Isa> isas;
size_t chosen = 0;
const Kernels& kernels() { return *isas[chosen].kernels; }

// An array that is filled here and then owned by Python.
template <class T>
struct Out {
  std::unique_ptr<T[]> data;
  explicit Out(size_t size) : data(new T[size ? size : 1]) {}
  T* get() { return data.get(); }
  nb::object array(std::initializer_list<size_t> shape) {
    T* raw = data.release();
    nb::capsule owner(raw, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T>(raw, shape, owner));
  }
};
template <class T>
nb::object vector_array(std::vector<T>&& values) {
  auto* kept = new std::vector<T>(std::move(values));
  nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, T>(kept->data(), {kept->size()}, owner));
}

const char* const STAT_NAMES[] = {
    "bytes", "chars", "tokens", "words", "word_chars", "alpha_tokens", "stripped_marks", "script_words",
    "script_word_chars", "stop_words", "hashes", "ellipses", "curly", "upper_chars", "alpha_chars", "digit_chars",
    "newlines", "lines", "bullet_lines", "star_lines", "ellipsis_lines", "all_lines", "nonblank_lines",
    "terminal_lines", "unicode_terminal_lines", "short_lines", "dup_lines", "dup_line_chars", "paragraphs",
    "dup_paragraphs", "dup_paragraph_chars"};
constexpr size_t STATS = sizeof STAT_NAMES / sizeof *STAT_NAMES;
static_assert(STATS == portable::STATS, "a statistic without a name");
const char* const REPETITION_NAMES[] = {"top_2", "top_3", "top_4", "dup_5", "dup_6",
                                        "dup_7", "dup_8", "dup_9", "dup_10", "word_chars"};
constexpr size_t REPETITION = sizeof REPETITION_NAMES / sizeof *REPETITION_NAMES;
static_assert(REPETITION == portable::Repetition::COLUMNS, "a column without a name");

// Columns of a (columns, rows) array by name.
nb::dict by_name(Out<i64>& values, const char* const* names, size_t columns, size_t rows) {
  nb::object matrix = values.array({columns, rows});
  nb::dict out;
  for (size_t c = 0; c < columns; ++c) out[names[c]] = matrix[c];
  return out;
}

size_t rows_of(const Column& column) { return static_cast<size_t>(column.text.length); }

nb::tuple page_bounds(nb::bytes page, In<u64> flat, In<u64> html, In<u64> formatting, i64 long_tag, i64 many) {
  HtmlNames names{flat.data(), html.data(), formatting.data(), flat.shape(0), html.shape(0), formatting.shape(0)};
  std::string_view view(page.c_str(), page.size());
  HtmlBounds found;
  {
    nb::gil_scoped_release release;
    found = html_bounds(view, names, long_tag, many);
  }
  return nb::make_tuple(found.tags, found.attributes, found.depth, found.formatting);
}

nb::object text_stats(nb::handle text) {
  Column column(text);
  Out<i64> out(rows_of(column) * STATS);
  {
    nb::gil_scoped_release release;
    kernels().text_stats(column.text, out.get());
  }
  return by_name(out, STAT_NAMES, STATS, rows_of(column));
}

bool is_script(const std::string& words) {
  if (words != "script" && words != "whitespace") throw std::invalid_argument("words: 'script' or 'whitespace'");
  return words == "script";
}

nb::object repetition(nb::handle text, const std::string& words) {
  Column column(text);
  bool script = is_script(words);
  Out<i64> out(rows_of(column) * REPETITION);
  {
    nb::gil_scoped_release release;
    kernels().repetition(column.text, script, out.get());
  }
  return by_name(out, REPETITION_NAMES, REPETITION, rows_of(column));
}

nb::object normalize(nb::handle text, bool digits, bool script) {
  Column column(text);
  std::vector<i64> offsets;
  std::vector<u8> bytes;
  {
    nb::gil_scoped_release release;
    kernels().normalize(column.text, digits, script, offsets, bytes);
  }
  return nb::make_tuple(vector_array(std::move(offsets)), vector_array(std::move(bytes)));
}

nb::object content_hash(nb::handle text) {
  Column column(text);
  Out<u64> out(rows_of(column) * 2);
  {
    nb::gil_scoped_release release;
    kernels().content_hash(column.text, out.get());
  }
  return out.array({rows_of(column), 2});
}

void check_permutations(size_t a, size_t b, size_t ngram) {
  if (a != b) throw std::invalid_argument("as many addends as multipliers are needed");
  if (ngram < 1) throw std::invalid_argument("ngram must be at least 1");
}

void check_ngrams(size_t ngram) {
  if (ngram < 1 || ngram > 16) throw std::invalid_argument("ngram must be 1 to 16");
}

nb::object minhash(nb::handle text, In<u32> a, In<u32> b, size_t ngram) {
  Column column(text);
  check_permutations(a.size(), b.size(), ngram);
  Out<u32> out(rows_of(column) * a.size());
  {
    nb::gil_scoped_release release;
    kernels().minhash(column.text, a.data(), b.data(), a.size(), ngram, out.get());
  }
  return out.array({rows_of(column), a.size()});
}

nb::object minhash64(nb::handle text, In<u64> a, In<u64> b, size_t ngram) {
  Column column(text);
  check_permutations(a.size(), b.size(), ngram);
  Out<u64> out(rows_of(column) * a.size());
  {
    nb::gil_scoped_release release;
    kernels().minhash64(column.text, a.data(), b.data(), a.size(), ngram, out.get());
  }
  return out.array({rows_of(column), a.size()});
}

nb::object shingles(nb::handle text, size_t ngram, bool digits) {
  Column column(text);
  check_permutations(0, 0, ngram);
  std::vector<i64> offsets;
  std::vector<u64> values;
  {
    nb::gil_scoped_release release;
    kernels().shingles(column.text, ngram, digits, offsets, values);
  }
  return nb::make_tuple(vector_array(std::move(offsets)), vector_array(std::move(values)));
}

nb::object overlaps(In<i64> offsets, In<u64> values, In<i64> left, In<i64> right) {
  i64 sets = static_cast<i64>(offsets.size()) - 1;
  if (left.size() != right.size()) throw std::invalid_argument("left and right differ in length");
  Out<i64> out(left.size());
  bool inside = true;
  {
    nb::gil_scoped_release release;
    const i64* at = offsets.data();
    i64 size = static_cast<i64>(values.size());
    for (size_t i = 0; i < left.size() && inside; ++i) {
      i64 a = left.data()[i], b = right.data()[i];
      inside = a >= 0 && a < sets && b >= 0 && b < sets && at[a] >= 0 && at[a] <= at[a + 1] && at[a + 1] <= size &&
               at[b] >= 0 && at[b] <= at[b + 1] && at[b + 1] <= size;
      if (!inside) break;
      const u64* v = values.data();
      out.get()[i] = overlap(v + at[a], v + at[a + 1], v + at[b], v + at[b + 1]);
    }
  }
  if (!inside) throw nb::index_error("a pair names a set that is not there");
  return out.array({left.size()});
}

nb::object component_roots(In<u64> left, In<u64> right) {
  if (left.size() != right.size()) throw std::invalid_argument("left and right differ in length");
  std::vector<u64> nodes, root;
  {
    nb::gil_scoped_release release;
    components(left.data(), right.data(), left.size(), nodes, root);
  }
  return nb::make_tuple(vector_array(std::move(nodes)), vector_array(std::move(root)));
}

nb::object ngram_hits(nb::handle text, In<u64> table, size_t ngram, bool digits) {
  Column column(text);
  check_permutations(0, 0, ngram);
  // probing ends at a free slot only
  if (table.size() == 0 || table.size() & (table.size() - 1) ||
      std::find(table.data(), table.data() + table.size(), u64(0)) == table.data() + table.size())
    throw std::invalid_argument("table is not one made by ngram_table");
  Out<i64> out(rows_of(column));
  {
    nb::gil_scoped_release release;
    kernels().ngram_hits(column.text, table.data(), table.size() - 1, ngram, digits, out.get());
  }
  return out.array({rows_of(column)});
}

nb::object word_ngrams(nb::handle text, size_t ngram, bool distinct) {
  Column column(text);
  check_ngrams(ngram);
  NgramColumns grams;
  {
    nb::gil_scoped_release release;
    kernels().word_ngrams(column.text, ngram, distinct, grams);
  }
  return nb::make_tuple(vector_array(std::move(grams.offsets)), vector_array(std::move(grams.hashes)),
                        vector_array(std::move(grams.first)), vector_array(std::move(grams.size)));
}

nb::object ngram_sums(nb::handle text, In<float> weights, size_t ngram, bool distinct) {
  Column column(text);
  check_ngrams(ngram);
  if (weights.size() == 0 || weights.size() > u64(1) << 32) throw std::invalid_argument("1 to 2^32 weights");
  Out<double> sums(rows_of(column));
  Out<i64> counts(rows_of(column));
  {
    nb::gil_scoped_release release;
    kernels().ngram_sums(column.text, weights.data(), weights.size(), ngram, distinct, sums.get(), counts.get());
  }
  return nb::make_tuple(sums.array({rows_of(column)}), counts.array({rows_of(column)}));
}

nb::object gram_hash(nb::handle text) {
  Column column(text);
  Out<u64> out(rows_of(column));
  {
    nb::gil_scoped_release release;
    for (i64 row = 0; row < column.text.length; ++row)
      out.get()[row] = joined_gram_hash(column.text.begin(row), column.text.end(row));
  }
  return out.array({rows_of(column)});
}

nb::object sentences(nb::handle text) {
  Column column(text);
  SentenceColumns found;
  {
    nb::gil_scoped_release release;
    kernels().sentences(column.text, found);
  }
  return nb::make_tuple(vector_array(std::move(found.lines)), vector_array(std::move(found.words)),
                        vector_array(std::move(found.hashes)), vector_array(std::move(found.ends)),
                        vector_array(std::move(found.bytes)));
}

// `table` has two words an entry: the key, then probability and back-off as floats.
nb::object lm_scores(nb::handle text, In<u64> table, size_t order, u64 begin, u64 end, u64 unknown) {
  Column column(text);
  if (order < 1 || order > 16) throw std::invalid_argument("orders are 1 to 16");
  size_t entries = table.size() / 2;
  // probing ends at a free entry only
  bool open = false;
  if (table.size() % 2 == 0 && entries && !(entries & (entries - 1)))
    for (size_t i = 0; i < entries && !open; ++i) open = table.data()[2 * i] == 0;
  if (!open) throw std::invalid_argument("table is not one made by lm_table");
  Out<double> totals(rows_of(column));
  Out<i64> tokens(rows_of(column)), strange(rows_of(column));
  {
    nb::gil_scoped_release release;
    kernels().lm_scores(column.text, {table.data(), entries - 1, order, begin, end, unknown}, totals.get(),
                        tokens.get(), strange.get());
  }
  size_t rows = rows_of(column);
  return nb::make_tuple(totals.array({rows}), tokens.array({rows}), strange.array({rows}));
}

nb::object line_table(nb::handle text, const std::vector<nb::bytes>& phrases) {
  Column column(text);
  if (phrases.size() > 64) throw std::invalid_argument("at most 64 phrases");
  PhraseList list;
  for (const nb::bytes& phrase : phrases) {
    const u8* p = reinterpret_cast<const u8*>(phrase.c_str());
    if (phrase.size() == 0) throw std::invalid_argument("an empty phrase");
    list.emplace_back(p, p + phrase.size());
  }
  LineColumns lines;
  {
    nb::gil_scoped_release release;
    kernels().line_table(column.text, list, lines);
  }
  Out<bool> ellipsis(lines.ends_ellipsis.size());
  std::copy(lines.ends_ellipsis.begin(), lines.ends_ellipsis.end(), ellipsis.get());
  nb::dict out;
  out["document"] = vector_array(std::move(lines.document));
  out["start"] = vector_array(std::move(lines.start));
  out["end"] = vector_array(std::move(lines.end));
  out["chars"] = vector_array(std::move(lines.chars));
  out["words"] = vector_array(std::move(lines.words));
  out["longest_token"] = vector_array(std::move(lines.longest_token));
  out["alpha_chars"] = vector_array(std::move(lines.alpha_chars));
  out["upper_chars"] = vector_array(std::move(lines.upper_chars));
  out["digit_chars"] = vector_array(std::move(lines.digit_chars));
  out["nonspace_chars"] = vector_array(std::move(lines.nonspace_chars));
  out["last_char"] = vector_array(std::move(lines.last_char));
  out["ends_ellipsis"] = ellipsis.array({lines.ends_ellipsis.size()});
  out["phrases"] = vector_array(std::move(lines.phrases));
  out["hash"] = vector_array(std::move(lines.hash));
  return out;
}

nb::object screen(nb::handle text) {
  Column column(text);
  Out<u32> out(rows_of(column));
  {
    nb::gil_scoped_release release;
    kernels().screen(column.text, out.get());
  }
  return out.array({rows_of(column)});
}

nb::object suspicious_lines(nb::handle text) {
  Column column(text);
  std::vector<Span> spans;
  {
    nb::gil_scoped_release release;
    kernels().suspicious_lines(column.text, spans);
  }
  Out<i32> document(spans.size());
  Out<i64> start(spans.size()), end(spans.size());
  for (size_t i = 0; i < spans.size(); ++i) {
    document.get()[i] = spans[i].document;
    start.get()[i] = spans[i].start;
    end.get()[i] = spans[i].end;
  }
  return nb::make_tuple(document.array({spans.size()}), start.array({spans.size()}), end.array({spans.size()}));
}

// `want` in the order stats, repetition, minhash, content_hash, shingle_count, screen.
nb::object analyse(nb::handle text, const std::vector<bool>& want, const std::string& words, In<u32> a, In<u32> b,
                   size_t ngram) {
  Column column(text);
  check_permutations(a.size(), b.size(), ngram);
  if (want.size() != 6) throw std::invalid_argument("want has six members");
  size_t rows = rows_of(column);
  Out<i64> stats(want[0] ? rows * STATS : 0), repeats(want[1] ? rows * REPETITION : 0);
  Out<u32> signatures(want[2] ? rows * a.size() : 0);
  Out<u64> hashes(want[3] ? rows * 2 : 0);
  Out<i64> counts(want[4] ? rows : 0);
  Out<u32> screens(want[5] ? rows : 0);
  Analysis job;
  if (want[0]) job.stats = stats.get();
  if (want[1]) job.repetition = repeats.get();
  if (want[2]) job.minhash = signatures.get();
  if (want[3]) job.content_hash = hashes.get();
  if (want[4]) job.shingle_count = counts.get();
  if (want[5]) job.screen = screens.get();
  job.script = is_script(words);
  job.multipliers = a.data();
  job.addends = b.data();
  job.permutations = a.size();
  job.ngram = ngram;
  {
    nb::gil_scoped_release release;
    kernels().analyse(column.text, job);
  }
  nb::dict out;
  if (want[0]) out["stats"] = by_name(stats, STAT_NAMES, STATS, rows);
  if (want[1]) out["repetition"] = by_name(repeats, REPETITION_NAMES, REPETITION, rows);
  if (want[2]) out["minhash"] = signatures.array({rows, a.size()});
  if (want[3]) out["content_hash"] = hashes.array({rows, 2});
  if (want[4]) out["shingle_count"] = counts.array({rows});
  if (want[5]) out["screen"] = screens.array({rows});
  return out;
}

}  // namespace

NB_MODULE(_native, m) {
  isas = available_isas();
  m.doc() = "Compiled kernels; tamis.kernels is their face, reference.py their specification.";
  m.def("isa", [] { return std::string(isas[chosen].name); }, "Name of the instruction set in use.");
  m.def("isas", [] {
    std::vector<std::string> names;
    for (const Isa& isa : isas) names.emplace_back(isa.name);
    return names;
  }, "Names of those that this machine can run, the best first.");
  m.def("_force_isa", [](const std::string& name) {  // for tests: not safe while kernels run
    for (size_t i = 0; i < isas.size(); ++i)
      if (name == isas[i].name) return void(chosen = i);
    throw std::invalid_argument("this machine cannot run " + name);
  });
  m.def("html_bounds", &page_bounds);
  m.def("text_stats", &text_stats);
  m.def("repetition", &repetition);
  m.def("normalize", &normalize);
  m.def("content_hash", &content_hash);
  m.def("minhash", &minhash);
  m.def("minhash64", &minhash64);
  m.def("shingles", &shingles);
  m.def("overlaps", &overlaps);
  m.def("components", &component_roots);
  m.def("ngram_hits", &ngram_hits);
  m.def("line_table", &line_table);
  m.def("screen", &screen);
  m.def("suspicious_lines", &suspicious_lines);
  m.def("analyse", &analyse);
  m.def("word_ngrams", &word_ngrams);
  m.def("ngram_sums", &ngram_sums);
  m.def("gram_hash", &gram_hash);
  m.def("sentences", &sentences);
  m.def("lm_scores", &lm_scores);
}
