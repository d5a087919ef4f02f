// Fields are called what the engine calls them.
// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import Domain
import FoundationEssentials
import Synchronization

/// Who asks a registry.
public struct RegistryLogin: Sendable, Equatable {
  public var user: String
  public var password: String
  /// Host and port of the registry.
  public var registry: String

  public init(user: String, password: String, registry: String) {
    self.user = user
    self.password = password
    self.registry = registry
  }

  /// The value of `X-Registry-Auth`: JSON in base64 with the URL alphabet.
  var header: (String, String) {
    struct Body: Encodable {
      var username: String
      var password: String
      var serveraddress: String
    }
    let body = Body(username: user, password: password, serveraddress: registry)
    let bytes = (try? JSONEncoder().encode(body)) ?? Data("{}".utf8)
    let text = String(
      bytes.base64EncodedString().map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 })
    return ("x-registry-auth", text)
  }
}

/// What a registry says of an image.
public struct RegistryImage: Sendable, Decodable, Equatable {
  public struct Descriptor: Sendable, Decodable, Equatable { public var digest: String }
  public struct Platform: Sendable, Decodable, Equatable {
    public var architecture: String?
    public var os: String?
  }

  public var Descriptor: Descriptor
  public var Platforms: [Platform]?
}

/// An image that the engine has.
public struct EngineImage: Sendable, Decodable, Equatable {
  public struct Settings: Sendable, Decodable, Equatable {
    public var Cmd: [String]?
    public var Entrypoint: [String]?
    public var ExposedPorts: [String: Empty]?
    public var User: String?
    public var Env: [String]?
  }

  public struct Empty: Sendable, Codable, Equatable { public init() {} }

  public var Id: String
  /// Empty for what was built or imported here.
  public var RepoDigests: [String]?
  public var Architecture: String?
  public var Os: String?
  /// Bytes, unpacked.
  public var Size: Int64?
  public var Config: Settings?

  /// TCP ports that the image says it listens on.
  public var ports: [Int] {
    (Config?.ExposedPorts ?? [:]).keys.compactMap { $0.hasSuffix("/tcp") ? Int($0.dropLast(4)) : nil }
      .sorted()
  }
}

/// How far a pull is.
public struct PullProgress: Sendable, Equatable {
  public var layers = 0
  public var layersDone = 0
  /// Of the layers that are being transferred, as far as their sizes are known.
  public var bytes: Int64 = 0
  public var totalBytes: Int64 = 0

  /// For people: `2 of 5 layers, 12 of 40 MiB`.
  public var text: String {
    let size = totalBytes > 0 ? ", \(bytes >> 20) of \(totalBytes >> 20) MiB" : ""
    return "\(layersDone) of \(layers) layers\(size)"
  }
}

extension EngineClient {
  /// Asks the registry for the image as this caller; the rights are checked even where the image is here already.
  public func distribution(
    of image: ImageReference, as login: RegistryLogin?
  ) async throws(EngineError) -> RegistryImage {
    try await get(
      "/distribution/\(EngineEscaping.path(image.text))/json", as: RegistryImage.self, doing: "distribution",
      headers: login.map { [$0.header] } ?? [])
  }

  /// nil when the engine does not have it. `name`: a reference or an id.
  public func image(_ name: String) async throws(EngineError) -> EngineImage? {
    let answer = try await call(
      "GET", "/images/\(EngineEscaping.path(name))/json", accepting: [404], doing: "image")
    return answer.status == 404 ? nil : try answer.decoded(EngineImage.self, socket: socket)
  }

  /// Gets an image from its registry; returns when it is here whole. An engine may say its refusal in the stream.
  ///
  /// - Parameter silence: the longest that the engine may say nothing.
  public func pull(
    _ image: ImageReference, as login: RegistryLogin?, silence: Duration = .seconds(120),
    onProgress: @escaping @Sendable (PullProgress) -> Void = { _ in }
  ) async throws(EngineError) {
    var query = [("fromImage", image.digest.map { "\(image.repository)@\($0)" } ?? image.repository)]
    if image.digest == nil { query.append(("tag", image.tag ?? "latest")) }
    let reader = Mutex(PullReader())
    try await stream(
      "POST", "/images/create", query, headers: login.map { [$0.header] } ?? [], doing: "pull",
      silence: silence
    ) { part in
      let progress = reader.withLock { $0.read(part) }
      if let progress { onProgress(progress) }
      return true
    }
    if let refusal = reader.withLock({ $0.refusal }) { throw EngineError(.refused(200), refusal) }
  }
}

/// Reads the lines of a pull.
struct PullReader: Sendable {
  private struct Line: Decodable {
    struct Detail: Decodable {
      var current: Int64?
      var total: Int64?
    }
    struct ErrorDetail: Decodable { var message: String? }
    var status: String?
    var id: String?
    var progressDetail: Detail?
    var error: String?
    var errorDetail: ErrorDetail?
  }

  private struct Layer: Sendable {
    var bytes: Int64 = 0
    var total: Int64 = 0
    var isDone = false
  }

  private var lines = LineReader()
  private var layers: [String: Layer] = [:]
  private(set) var refusal: String?

  /// The progress when it changed.
  mutating func read(_ bytes: ArraySlice<UInt8>) -> PullProgress? {
    var changed = false
    for text in lines.lines(bytes) {
      guard let line = try? JSONDecoder().decode(Line.self, from: Data(text)) else { continue }
      if let said = line.errorDetail?.message ?? line.error { refusal = said }
      guard let id = line.id, let status = line.status,
        let next = Self.next(layers[id], status, line.progressDetail)
      else { continue }
      layers[id] = next
      changed = true
    }
    return changed ? progress : nil
  }

  private static func next(_ layer: Layer?, _ status: String, _ detail: Line.Detail?) -> Layer? {
    switch status {
    case "Pulling fs layer", "Waiting", "Verifying Checksum", "Extracting": return layer ?? Layer()
    case "Downloading":
      var layer = layer ?? Layer()
      layer.bytes = detail?.current ?? layer.bytes
      layer.total = max(detail?.total ?? 0, layer.total)
      return layer
    case "Download complete":
      var layer = layer ?? Layer()
      layer.bytes = layer.total
      return layer
    case "Pull complete", "Already exists":
      var layer = layer ?? Layer()
      layer.isDone = true
      return layer
    default: return nil
    }
  }

  private var progress: PullProgress {
    var progress = PullProgress(layers: layers.count)
    for layer in layers.values {
      progress.layersDone += layer.isDone ? 1 : 0
      progress.bytes += layer.bytes
      progress.totalBytes += layer.total
    }
    return progress
  }
}
