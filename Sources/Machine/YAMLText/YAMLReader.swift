import CYAML

/// Reads YAML by libyaml, within bounds, into trees with places.
///
/// What makes a file mean something else than it seems is refused: aliases (also those that grow without end), merge keys, tags, names
/// given twice, names that are no texts.
public enum YAMLReader {
  /// Most bytes of a text.
  public static let byteLimit = 1 << 20
  /// Most levels of lists and maps in each other.
  public static let depthLimit = 32
  /// Most values of a text.
  public static let nodeLimit = 50_000

  /// All documents of a text; those that are empty are left out.
  public static func documents(_ bytes: [UInt8]) throws(YAMLError) -> [YAMLNode] {
    guard bytes.count <= byteLimit else {
      throw YAMLError(YAMLMark(line: 1, column: 1), "longer than \(byteLimit) bytes; split the file")
    }
    var parser = yaml_parser_t()
    guard yaml_parser_initialize(&parser) == 1 else {
      throw YAMLError(YAMLMark(line: 1, column: 1), "out of memory")
    }
    defer { yaml_parser_delete(&parser) }
    // The parser keeps pointers to itself and to the text: neither may move while it works.
    let result: Result<[YAMLNode], YAMLError> = withUnsafeMutablePointer(to: &parser) { parser in
      bytes.withUnsafeBufferPointer { text in
        var nothing: UInt8 = 0
        return withUnsafePointer(to: &nothing) { none in
          yaml_parser_set_input_string(parser, text.baseAddress ?? none, text.count)
          yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
          var reader = EventReader(parser)
          do throws(YAMLError) { return .success(try reader.documents()) } catch { return .failure(error) }
        }
      }
    }
    return try result.get()
  }
}

/// One event, taken out of libyaml's memory.
private enum Event {
  case streamEnd
  case documentStart
  case documentEnd
  case scalar(String, isPlain: Bool)
  case listStart
  case listEnd
  case mapStart
  case mapEnd
  case other
}

private struct EventReader {
  private let parser: UnsafeMutablePointer<yaml_parser_t>
  private var nodes = 0

  init(_ parser: UnsafeMutablePointer<yaml_parser_t>) { self.parser = parser }

  mutating func documents() throws(YAMLError) -> [YAMLNode] {
    var found: [YAMLNode] = []
    while true {
      let (event, mark) = try next()
      switch event {
      case .streamEnd: return found
      case .documentStart:
        let (first, place) = try next()
        let node = try value(first, place, depth: 0)
        if case .scalar("", true, _) = node {} else { found.append(node) }
      case .documentEnd, .other: continue
      default: throw YAMLError(mark, "a document was expected")
      }
    }
  }

  private mutating func value(_ event: Event, _ mark: YAMLMark, depth: Int) throws(YAMLError) -> YAMLNode {
    nodes += 1
    guard nodes <= YAMLReader.nodeLimit else {
      throw YAMLError(mark, "more than \(YAMLReader.nodeLimit) values; split the file")
    }
    guard depth <= YAMLReader.depthLimit else {
      throw YAMLError(mark, "more than \(YAMLReader.depthLimit) levels of lists and maps in each other")
    }
    switch event {
    case .scalar(let text, let isPlain): return .scalar(text, isPlain: isPlain, mark)
    case .listStart: return try list(mark, depth)
    case .mapStart: return try map(mark, depth)
    default: throw YAMLError(mark, "a value was expected")
    }
  }

  private mutating func list(_ mark: YAMLMark, _ depth: Int) throws(YAMLError) -> YAMLNode {
    var items: [YAMLNode] = []
    while true {
      let (event, place) = try next()
      if case .listEnd = event { return .list(items, mark) }
      items.append(try value(event, place, depth: depth + 1))
    }
  }

  private mutating func map(_ mark: YAMLMark, _ depth: Int) throws(YAMLError) -> YAMLNode {
    var members: [YAMLNode.Member] = []
    var names: [String: YAMLMark] = [:]
    while true {
      let (event, place) = try next()
      if case .mapEnd = event { return .map(members, mark) }
      guard case .scalar(let name, let isPlain) = event else {
        throw YAMLError(place, "the name of a field must be a text")
      }
      if name == "<<", isPlain {
        throw YAMLError(place, "'<<' is not taken: write the fields out")
      }
      if let first = names.updateValue(place, forKey: name) {
        throw YAMLError(place, "'\(name)' is there twice (first in line \(first.line)); remove one")
      }
      let (inner, start) = try next()
      members.append(.init(name: name, mark: place, value: try value(inner, start, depth: depth + 1)))
    }
  }

  private mutating func next() throws(YAMLError) -> (Event, YAMLMark) {
    var event = yaml_event_t()
    guard yaml_parser_parse(parser, &event) == 1 else { throw failure() }
    defer { yaml_event_delete(&event) }
    let mark = Self.mark(event.start_mark)
    switch event.type {
    case YAML_STREAM_END_EVENT: return (.streamEnd, mark)
    case YAML_DOCUMENT_START_EVENT: return (.documentStart, mark)
    case YAML_DOCUMENT_END_EVENT: return (.documentEnd, mark)
    case YAML_SEQUENCE_END_EVENT: return (.listEnd, mark)
    case YAML_MAPPING_END_EVENT: return (.mapEnd, mark)
    case YAML_ALIAS_EVENT:
      throw YAMLError(
        mark,
        "'*' names another part of the file, which is not taken: write it out, or put quotes around a text")
    case YAML_SCALAR_EVENT:
      let scalar = event.data.scalar
      try refuse(tag: scalar.tag, anchor: scalar.anchor, mark)
      let text = UnsafeBufferPointer(start: scalar.value, count: scalar.length)
      return (
        .scalar(String(decoding: text, as: UTF8.self), isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE), mark
      )
    case YAML_SEQUENCE_START_EVENT:
      try refuse(tag: event.data.sequence_start.tag, anchor: event.data.sequence_start.anchor, mark)
      return (.listStart, mark)
    case YAML_MAPPING_START_EVENT:
      try refuse(tag: event.data.mapping_start.tag, anchor: event.data.mapping_start.anchor, mark)
      return (.mapStart, mark)
    default: return (.other, mark)
    }
  }

  private func refuse(
    tag: UnsafeMutablePointer<yaml_char_t>?, anchor: UnsafeMutablePointer<yaml_char_t>?, _ mark: YAMLMark
  ) throws(YAMLError) {
    if tag != nil {
      throw YAMLError(
        mark, "'!' gives a value a type, which is not taken: leave it out, or put quotes around a text")
    }
    if anchor != nil {
      throw YAMLError(
        mark,
        "'&' gives a part of the file a name, which is not taken: leave it out, or put quotes around a text")
    }
  }

  private func failure() -> YAMLError {
    let state = parser.pointee
    // A byte that is not UTF-8 has no place but its offset.
    let mark = state.error == YAML_READER_ERROR ? state.mark : state.problem_mark
    let problem = state.problem.map { String(cString: $0) } ?? "not YAML"
    let context =
      state.context.map { " (\(String(cString: $0)) of line \(state.context_mark.line + 1))" } ?? ""
    return YAMLError(Self.mark(mark), problem + context)
  }

  private static func mark(_ mark: yaml_mark_t) -> YAMLMark {
    YAMLMark(line: Int(clamping: mark.line) + 1, column: Int(clamping: mark.column) + 1)
  }
}
