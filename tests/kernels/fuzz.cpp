// Runs all kernels over random columns for a bounded time; built with sanitizers by scripts/sanitize.sh.
//
// Every document lies at the very end of its own allocation, so that a read of one byte too many is found. Half of
// the columns are valid UTF-8, made of the characters and pieces that the kernels treat apart; in the other half
// bytes are damaged or cut off. On valid text all instruction sets must agree with the portable one. Pages for the
// bounds of HTML are made of tags and pieces of tags in the same way, and cut anywhere.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>

#include "html.hpp"
#include "isa.hpp"
#include "sets.hpp"

using namespace tamis;

namespace {

const char* const PIECES[] = {
    "the ", "be", " of", "a", "Z", "9", "1,2", "3.", "...", "..", ".", "\n", "\n\n", "\n\n\n", "\r\n", "\t", " ", "  ",
    "\x7f", "\x1b", "#", "{", "}", "-", "*", "\xe2\x80\xa2", "\xe2\x80\xa6", "\xc2\x85", "\xc2\xa0", "\xe2\x80\xa8",
    "\xe3\x80\x80", "\xc3\xa9", "\xc3\x9f", "\xcf\x82", "\xc4\xb0", "\xe4\xb8\xad", "\xe6\x96\x87", "\xe3\x80\x82",
    "\xe3\x81\x82", "\xe0\xb8\x81", "\xe0\xb8\xb1", "\xed\x95\x9c", "\xd9\xa3", "\xd8\x8c", "\xcc\x81", "\xcc\xa3",
    "\xc3\x83\xc2\xa9", "\xc3\xa2\xe2\x82\xac\xe2\x84\xa2", "\xf0\x9d\x92\x9c", "\xf0\xa0\x80\x80", "\xf0\x9f\x98\x80",
    "lorem ipsum ", "one two three four five six seven ", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"};
constexpr size_t PIECE_COUNT = sizeof PIECES / sizeof *PIECES;

const char* const MARKUP[] = {
    "<", ">", "/", "</", "<\\/", "/>", "<p>", "</p>", "<div", "<div ", "<a href=x y>", "</a>", "<b><i>", "</i>", "<br/>",
    "<svg/>", "<blockquote-long-name>", "<H1", "<x", "<!--", "-->", "<3", " a b c d e f g h", " ", "\n", "\t", "\\", "text",
    "'", "\"", "=", "\xc3\xa9", "\xff"};
constexpr size_t MARKUP_COUNT = sizeof MARKUP / sizeof *MARKUP;

u64 name(const char* s) {
  const auto* p = reinterpret_cast<const u8*>(s);
  return packed(p, p + strlen(s));
}

// Whether the bounds of a random page, at the very end of its allocation, are possible ones.
bool bounds_hold(std::mt19937_64& random, bool damaged) {
  std::string page;
  for (size_t i = random() % 8 ? random() % 40 : random() % 600; i--;) page += MARKUP[random() % MARKUP_COUNT];
  if (damaged) {
    for (size_t i = random() % 8; i-- && !page.empty();) page[random() % page.size()] = char(random());
    if (!page.empty()) page.resize(random() % (page.size() + 1));
  }
  std::unique_ptr<char[]> exact(new char[page.size()]);
  memcpy(exact.get(), page.data(), page.size());
  u64 flat[] = {name("br"), name("p")}, html[] = {name("a"), name("b"), name("div"), name("i")};
  u64 formatting[] = {name("a"), name("b"), name("i")};
  for (auto [first, last] : {std::pair{flat, flat + 2}, {html, html + 4}, {formatting, formatting + 3}})
    std::sort(first, last);
  HtmlNames names{flat, html, formatting, random() % 3, random() % 5, random() % 4};
  HtmlBounds found = html_bounds({exact.get(), page.size()}, names, i64(random() % 20), i64(random() % 6));
  i64 tags = std::count(page.begin(), page.end(), '<'), size = static_cast<i64>(page.size());
  return found.tags == tags && 0 <= found.formatting && found.formatting <= found.depth && found.depth <= tags &&
         0 <= found.attributes && found.attributes <= tags * size * size;
}

std::string random_document(std::mt19937_64& random, bool damaged) {
  std::string out;
  size_t pieces = random() % 8 ? random() % 40 : random() % 600;
  for (size_t i = 0; i < pieces; ++i) out += PIECES[random() % PIECE_COUNT];
  if (damaged) {
    for (size_t i = random() % 8; i-- && !out.empty();) out[random() % out.size()] = char(random());
    if (!out.empty()) out.resize(random() % (out.size() + 1));
  }
  return out;
}

// A model of every second word and of the pairs and triples that follow one another, as lm_table lays it out.
struct LmEntry {
  u64 key;
  float prob, backoff;
};
std::vector<LmEntry> random_model(const std::vector<u64>& words) {
  size_t size = 64;
  while (size < 8 * words.size()) size *= 2;
  std::vector<LmEntry> table(size, LmEntry{0, 0, 0});
  auto add = [&](u64 sum) {
    u64 key = std::max<u64>(avalanche(sum), 1), s = key & (size - 1);
    while (table[s].key && table[s].key != key) s = (s + 1) & (size - 1);
    table[s] = {key, -static_cast<float>(key >> 60), static_cast<float>(key >> 62) / 4};
  };
  add(2);  // the end of a sentence
  add(3);  // an unknown word
  for (size_t i = 0; i < words.size(); ++i) {
    if (i % 2) add(words[i]);
    if (i) add(words[i - 1] * P1 + words[i]);
    if (i > 1) add((words[i - 2] * P1 + words[i - 1]) * P1 + words[i]);
  }
  return table;
}

// All results as one list of numbers.
std::vector<u64> run(const Kernels& k, const Text& text, const std::vector<u64>& table) {
  std::vector<u64> all;
  auto keep = [&](const auto& values) {
    for (auto v : values) all.push_back(static_cast<u64>(v));
  };
  size_t n = static_cast<size_t>(text.length);
  std::vector<i64> stats(n * portable::STATS), repeats(n * portable::Repetition::COLUMNS), hits(n), offsets;
  std::vector<u8> bytes;
  std::vector<u64> hashes(2 * n), values;
  constexpr size_t COUNT = 21;
  std::vector<u32> a(COUNT), b(COUNT), least(n * COUNT), flags(n);
  std::vector<u64> a64(COUNT), b64(COUNT), least64(n * COUNT);
  for (size_t i = 0; i < COUNT; ++i) {
    a64[i] = P1 * (i + 1) | 1;
    b64[i] = P2 * (i + 1);
    a[i] = static_cast<u32>(a64[i]);
    b[i] = static_cast<u32>(b64[i]);
  }
  k.text_stats(text, stats.data());
  keep(stats);
  for (bool flag : {false, true}) {
    k.repetition(text, flag, repeats.data());
    keep(repeats);
    for (bool script : {false, true}) {
      k.normalize(text, flag, script, offsets, bytes);
      keep(offsets);
      keep(bytes);
    }
    k.shingles(text, 3, flag, offsets, values);
    keep(values);
    k.ngram_hits(text, table.data(), table.size() - 1, 2, flag, hits.data());
    keep(hits);
  }
  k.content_hash(text, hashes.data());
  keep(hashes);
  k.minhash(text, a.data(), b.data(), COUNT, 3, least.data());
  keep(least);
  k.minhash64(text, a64.data(), b64.data(), COUNT, 3, least64.data());
  keep(least64);
  LineColumns lines;
  auto phrase = [](const char* s) { return std::vector<u8>(s, s + strlen(s)); };
  const char* const wanted[] = {"the", "{", "lorem ipsum", "\xe4\xb8\xad\xe6\x96\x87", "xxxx"};
  PhraseList phrases;
  for (const char* p : wanted) phrases.push_back(phrase(p));
  k.line_table(text, phrases, lines);
  for (const auto* c : {&lines.start, &lines.end, &lines.chars, &lines.words, &lines.longest_token, &lines.alpha_chars,
                        &lines.upper_chars, &lines.digit_chars, &lines.nonspace_chars})
    keep(*c);
  keep(lines.last_char);
  keep(lines.ends_ellipsis);
  keep(lines.phrases);
  keep(lines.hash);
  for (bool distinct : {false, true}) {
    NgramColumns grams;
    k.word_ngrams(text, 3, distinct, grams);
    keep(grams.offsets);
    keep(grams.hashes);
    keep(grams.first);
    keep(grams.size);
    // an exact allocation of a number of weights that is no power of two
    std::vector<float> weights(11);
    for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i);
    std::vector<double> sums(n);
    k.ngram_sums(text, weights.data(), weights.size(), 2, distinct, sums.data(), hits.data());
    keep(sums);
    keep(hits);
  }
  SentenceColumns found;
  k.sentences(text, found);
  for (const auto* c : {&found.lines, &found.words, &found.ends}) keep(*c);
  keep(found.hashes);
  keep(found.bytes);
  std::vector<LmEntry> model = random_model(found.hashes);
  std::vector<double> totals(n);
  std::vector<i64> tokens(n), strange(n);
  for (size_t order : {1, 3, 16}) {
    k.lm_scores(text, {reinterpret_cast<const u64*>(model.data()), model.size() - 1, order, 1, 2, 3}, totals.data(),
                tokens.data(), strange.data());
    for (double total : totals) all.push_back(static_cast<u64>(static_cast<i64>(total * 64)));
    keep(tokens);
    keep(strange);
  }
  k.screen(text, flags.data());
  keep(flags);
  std::vector<Span> spans;
  k.suspicious_lines(text, spans);
  for (const Span& s : spans) keep(std::vector<i64>{s.document, s.start, s.end});
  Analysis want;
  want.stats = stats.data();
  want.repetition = repeats.data();
  want.minhash = least.data();
  want.content_hash = hashes.data();
  want.shingle_count = hits.data();
  want.screen = flags.data();
  want.multipliers = a.data();
  want.addends = b.data();
  want.permutations = COUNT;
  k.analyse(text, want);
  keep(stats);
  keep(repeats);
  keep(least);
  keep(hashes);
  keep(hits);
  keep(flags);
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = argc > 1 ? atof(argv[1]) : 20;
  std::mt19937_64 random(argc > 2 ? strtoull(argv[2], nullptr, 10) : 1);
  std::vector<Isa> isas = available_isas();
  std::vector<u64> table(1 << 10);
  for (int i = 0; i < 500; ++i) table[random() & 1023] = random();
  auto start = std::chrono::steady_clock::now();
  size_t columns = 0;
  for (; std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() < seconds; ++columns) {
    bool damaged = columns & 1;
    std::string joined;
    std::vector<i32> offsets32{0};
    std::vector<i64> offsets64{0};
    for (size_t documents = random() % 5; documents--;) {
      joined += random_document(random, damaged);
      offsets32.push_back(static_cast<i32>(joined.size()));
      offsets64.push_back(static_cast<i64>(joined.size()));
    }
    std::unique_ptr<u8[]> exact(new u8[joined.size() ? joined.size() : 1]);
    memcpy(exact.get(), joined.data(), joined.size());
    i64 documents = static_cast<i64>(offsets32.size()) - 1, skip = documents ? static_cast<i64>(random() % 2) : 0;
    Text text{exact.get(), offsets32.data(), false, documents - skip, skip};
    std::vector<u64> expected = run(*isas.back().kernels, text, table);
    text.offsets = offsets64.data();
    text.large = true;
    for (const Isa& isa : isas) {
      if (run(*isa.kernels, text, table) != expected && !damaged) {
        fprintf(stderr, "column %zu: %s differs from portable\n", columns, isa.name);
        return 1;
      }
    }
    if (!bounds_hold(random, damaged)) {
      fprintf(stderr, "column %zu: impossible bounds of a page of HTML\n", columns);
      return 1;
    }
    std::vector<u64> left(random() % 40), right(left.size()), nodes, root;
    for (u64& v : left) v = random() % 50;
    for (u64& v : right) v = random() % 50;
    components(left.data(), right.data(), left.size(), nodes, root);
  }
  printf("%zu columns, no finding (", columns);
  for (const Isa& isa : isas) printf("%s%s", isa.name, &isa == &isas.back() ? ")\n" : ", ");
  return 0;
}
