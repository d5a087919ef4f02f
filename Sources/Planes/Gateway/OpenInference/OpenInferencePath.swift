/// What a path of the Open Inference Protocol, version 2, asks for.
enum OpenInferencePath: Equatable {
  case server, live, ready
  case model(name: String, version: String)
  case modelReady(name: String, version: String)
  case infer(name: String, version: String)
  /// A path below `/v2` that is none of these.
  case other

  /// Reads the path of a target that begins with `/v2`.
  init(_ target: Substring) {
    let path = target.prefix { $0 != "?" }
    var parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst(2).map(String.init)
    if parts.last == "" { parts.removeLast() }
    switch parts.first {
    case nil: self = .server
    case "health" where parts == ["health", "live"]: self = .live
    case "health" where parts == ["health", "ready"]: self = .ready
    case "models" where parts.count >= 2:
      let name = parts[1]
      var rest = parts.dropFirst(2)
      var version = ""
      if rest.first == "versions", rest.count >= 2 {
        version = rest[rest.startIndex + 1]
        rest = rest.dropFirst(2)
      }
      switch Array(rest) {
      case []: self = .model(name: name, version: version)
      case ["ready"]: self = .modelReady(name: name, version: version)
      case ["infer"]: self = .infer(name: name, version: version)
      default: self = .other
      }
    default: self = .other
    }
  }

  var isPost: Bool { if case .infer = self { true } else { false } }
}
