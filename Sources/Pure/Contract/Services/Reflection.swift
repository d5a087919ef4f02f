internal import Wire

/// Server reflection over a set of files: one answer for each request of the stream. Versions v1 and v1alpha are the same.
public struct Reflection: Sendable {
  private let files: [ProtoFile]
  private let places: [String: Int]
  private let owners: [String: Int]

  /// Of files with the same path or symbol the first is used.
  public init(files: [ProtoFile]) {
    var places: [String: Int] = [:]
    var owners: [String: Int] = [:]
    for (index, file) in files.enumerated() where places[file.path] == nil {
      places[file.path] = index
      for symbol in file.symbols where owners[symbol] == nil { owners[symbol] = index }
    }
    self.files = files
    self.places = places
    self.owners = owners
  }

  /// Answers an encoded `ServerReflectionRequest`; nil when these bytes are none.
  public func answer(_ request: [UInt8]) -> [UInt8]? {
    enum Asked {
      case nothing, services
      case file(String)
      case symbol(String)
      case extensions(String)
    }
    var host = ""
    var asked = Asked.nothing
    do throws(ProtobufError) {
      (host, asked) = try ProtobufReader.reading(request) { (reader) throws(ProtobufError) in
        var host = ""
        var asked = Asked.nothing
        while let field = try reader.next() {
          switch field.number {
          case 1: host = try reader.string(field)
          case 3: asked = .file(try reader.string(field))
          case 4: asked = .symbol(try reader.string(field))
          case 5:
            _ = try reader.range(field)
            asked = .extensions("")
          case 6: asked = .extensions(try reader.string(field))
          case 7:
            _ = try reader.string(field)
            asked = .services
          default: try reader.skip(field)
          }
        }
        return (host, asked)
      }
    } catch { return nil }
    var writer = ProtobufWriter()
    writer.nonEmpty(1, host)
    writer.bytes(2, request)
    switch asked {
    case .services:
      writer.message(6) { out in
        for name in Set(files.flatMap(\.serviceNames)).sorted() { out.message(1) { $0.string(1, name) } }
      }
    case .file(let path): descriptors(places[path], "there is no file '\(path)'", &writer)
    case .symbol(let name): descriptors(owners[name], "there is no symbol '\(name)'", &writer)
    case .extensions(let type) where owners[type] != nil:
      writer.message(5) { $0.string(1, type) }
    case .extensions: error(.notFound, "nothing here has extensions", &writer)
    case .nothing: error(.invalidArgument, "the request asks for nothing", &writer)
    }
    return writer.bytes
  }

  /// The file and all that it imports, each once.
  private func descriptors(_ place: Int?, _ missing: String, _ writer: inout ProtobufWriter) {
    guard let place else { return error(.notFound, missing, &writer) }
    var wanted = [place]
    var index = 0
    while index < wanted.count {
      for path in files[wanted[index]].imports {
        if let next = places[path], !wanted.contains(next) { wanted.append(next) }
      }
      index += 1
    }
    writer.message(4) { out in for place in wanted { out.bytes(1, files[place].descriptor) } }
  }

  private func error(_ code: GRPCCode, _ message: String, _ writer: inout ProtobufWriter) {
    writer.message(7) { out in
      out.integer(1, code.rawValue)
      out.string(2, message)
    }
  }
}

/// Messages of `grpc.health.v1`.
public enum HealthMessages {
  public enum Serving: Int, Sendable { case unknown, serving, notServing, serviceUnknown }

  /// The service of an encoded `HealthCheckRequest`; nil when these bytes are none.
  public static func service(_ request: [UInt8]) -> String? {
    try? ProtobufReader.reading(request) { (reader) throws(ProtobufError) in
      var service = ""
      while let field = try reader.next() {
        if field.number == 1 { service = try reader.string(field) } else { try reader.skip(field) }
      }
      return service
    }
  }

  /// An encoded `HealthCheckResponse`.
  public static func response(_ status: Serving) -> [UInt8] {
    var writer = ProtobufWriter()
    if status != .unknown { writer.integer(1, status.rawValue) }
    return writer.bytes
  }
}
