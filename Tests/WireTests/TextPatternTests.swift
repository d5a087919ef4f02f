import Testing

@testable import Wire

@Suite struct TextPatternTests {
  private func finds(_ pattern: String, _ text: String) throws -> Bool {
    var pattern = try TextPattern(pattern)
    return pattern.matches(text)
  }

  @Test(arguments: [
    ("error", "an error occurred", true), ("error", "an Error occurred", false),
    ("(?i)error", "an ERROR occurred", true), ("", "anything", true), ("", "", true),
    ("^GET /", "GET /a", true), ("^GET /", " GET /a", false), ("done$", "well done", true),
    ("done$", "done it", false), ("^$", "", true), ("^$", "x", false), ("^a*$", "aaa", true),
    ("a.c", "abc", true), ("a.c", "aéc", true), ("a..c", "aéc", false), ("^.$", "日", true),
    ("[0-9]{3}", "code 50", false), ("[0-9]{3}", "code 503", true), ("^[0-9]{2,3}$", "1234", false),
    ("^[0-9]{2,}$", "1234", true), ("^x{0}y$", "y", true), (#"status=\d+ "#, "status=200 ok", true),
    (#"\bx"#.replacing("\\b", with: "\\."), ".x", true), ("(a|bc)+d", "xbcabcd", true),
    ("(?:ab){2}", "abab", true),
    ("[^\"]+\"$", "say \"hi\"", true), ("[^a]", "aaa", false), ("[^a]", "aaé", true),
    ("[]x]", "]", true), ("[a-]", "-", true), ("[äö]", "schön", true), (#"[\w.]+@"#, "me.you@", true),
    ("a|", "", true), ("(a*)*b", "aaab", true), (#"\W"#, "abc", false), (#"\S$"#, "a ", false),
    ("$a", "a", false), ("a^", "a", false), ("(?i)[a-f]+$", "xFACE", true), ("x?y$", "y", true),
    ("$^", "", true), ("$^", "a", false), ("(?i)[^a]", "aA", false), ("(?i)[^a]", "aB", true),
  ])
  func findsWhatItSays(_ pattern: String, _ text: String, _ expected: Bool) throws {
    #expect(try finds(pattern, text) == expected)
  }

  @Test(arguments: [
    ("(", "has a ( without a )"), (")", "has a ) without a ("), ("[a", "has a [ without a ]"),
    ("*", "repeats nothing"), ("a**", "repeats a repeat"), ("a+?", "lazy"), ("a{2", "has a {"),
    ("a{3,2}", "has a {"), ("a{999}", "up to 200"), (#"\1"#, #"has \1"#), ("(?=a)", "has a (?"),
    (#"\"#, #"ends with a \"#), ("[z-a]", "in order"), ("((((a{200}){200}){200}){200})", "too large"),
  ])
  func refusesWhatItCanNotDo(_ pattern: String, _ words: String) throws {
    let fault = #expect(throws: PatternFault.self) { try TextPattern(pattern) }
    #expect(fault?.reason.contains(words) == true, "\(fault?.reason ?? "")")
  }

  /// Patterns that make machines with going back run for ever.
  @Test(
    .timeLimit(.minutes(1)),
    arguments: ["(a*)*c", "(a|aa)+c", "(a|a?)+c", "(.*a){30}c", "^(([a-z])+.)+[A-Z]([a-z])+$"])
  func takesLinearTime(_ text: String) throws {
    var pattern = try TextPattern(text)
    let line = String(repeating: "a", count: 50_000)
    let first = pattern.matches(line)
    let second = pattern.matches(line)
    #expect(!first && !second)
  }
}
