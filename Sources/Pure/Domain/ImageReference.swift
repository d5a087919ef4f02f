/// The name of a container image as users write it: `nginx`, `ghcr.io/team/app:1.2`, `127.0.0.1:5000/app@sha256:…`.
public struct ImageReference: Sendable, Equatable {
  /// Everything before tag and digest, as written: `ghcr.io/team/app`.
  public var repository: String
  /// nil when a digest is given alone.
  public var tag: String?
  /// `sha256:` and 64 hex digits.
  public var digest: String?

  /// Throws `invalidArgument` that names the field and what is wrong.
  public init(_ text: String, field: String = "image") throws(PlatformError) {
    func refused(_ why: String) -> PlatformError {
      .invalid(
        field, "\(field): '\(text)' \(why); use REPOSITORY[:TAG][@sha256:DIGEST], like ghcr.io/team/app:1.2")
    }
    guard !text.isEmpty, text.utf8.count <= 512 else { throw refused("is empty or longer than 512 bytes") }
    guard !text.contains("://") else { throw refused("is a URL") }
    var rest = Substring(text)
    var digest: String?
    if let at = rest.firstIndex(of: "@") {
      let given = String(rest[rest.index(after: at)...])
      guard Self.isDigest(given) else { throw refused("has a digest that is not sha256: and 64 hex digits") }
      digest = given
      rest = rest[..<at]
    }
    var tag: String?
    let slash = rest.lastIndex(of: "/")
    let name = slash.map { rest[rest.index(after: $0)...] } ?? rest
    if let colon = name.firstIndex(of: ":") {
      let given = String(name[name.index(after: colon)...])
      guard Self.isTag(given) else { throw refused("has a tag that is not a word of letters, digits, _ . -") }
      tag = given
      rest = rest[..<colon]
    }
    let parts = rest.split(separator: "/", omittingEmptySubsequences: false)
    guard !parts.contains(where: \.isEmpty) else { throw refused("has an empty part in its name") }
    let path = Self.isRegistry(parts[0]) && parts.count > 1 ? parts.dropFirst() : parts[...]
    guard !path.contains(where: { $0.utf8.contains { (0x41...0x5a).contains($0) } }) else {
      throw refused("has capital letters in its repository, which must be lower case")
    }
    guard path.allSatisfy(Self.isPathPart), Self.isHost(parts[0]) else {
      throw refused("has characters that a repository's name can't have")
    }
    repository = String(rest)
    self.digest = digest
    self.tag = tag ?? (digest == nil ? "latest" : nil)
  }

  /// Host and port of the registry; Docker Hub's when the name has none.
  public var registry: String {
    guard let slash = repository.firstIndex(of: "/") else { return Self.dockerHub }
    let first = repository[..<slash]
    return Self.isRegistry(first) ? String(first) : Self.dockerHub
  }

  public static let dockerHub = "docker.io"

  /// Repository with digest, else with tag: what an engine is asked for.
  public var text: String {
    if let digest { return "\(repository)@\(digest)" }
    return "\(repository):\(tag ?? "latest")"
  }

  /// The same repository, this very content.
  public func pinned(_ digest: String) -> ImageReference {
    var pinned = self
    (pinned.tag, pinned.digest) = (nil, digest)
    return pinned
  }

  /// The first part of a name is a registry when it looks like a host.
  private static func isRegistry(_ part: Substring) -> Bool {
    part.contains(".") || part.contains(":") || part == "localhost"
  }

  private static func isLower(_ byte: UInt8) -> Bool {
    (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte)
  }

  private static func isPathPart(_ part: Substring) -> Bool {
    guard let first = part.utf8.first, let last = part.utf8.last, isLower(first), isLower(last) else {
      return false
    }
    return part.utf8.allSatisfy { isLower($0) || $0 == 0x2e || $0 == 0x5f || $0 == 0x2d }
  }

  private static func isHost(_ part: Substring) -> Bool {
    part.utf8.allSatisfy {
      isLower($0) || (0x41...0x5a).contains($0) || [0x2e, 0x5f, 0x2d, 0x3a, 0x5b, 0x5d].contains($0)
    }
  }

  private static func isTag(_ text: String) -> Bool {
    guard let first = text.utf8.first, first != 0x2e, first != 0x2d, text.utf8.count <= 128 else {
      return false
    }
    return text.utf8.allSatisfy {
      isLower($0) || (0x41...0x5a).contains($0) || $0 == 0x2e || $0 == 0x5f || $0 == 0x2d
    }
  }

  private static func isDigest(_ text: String) -> Bool {
    text.hasPrefix("sha256:") && text.utf8.count == 71
      && text.utf8.dropFirst(7).allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }
}
