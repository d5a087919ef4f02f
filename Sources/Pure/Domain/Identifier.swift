/// What an identifier belongs to. The raw value is the first three characters of the id.
public enum ResourceKind: String, Sendable, CaseIterable {
  case folder = "fld"
  case project = "prj"
  case checkpoint = "chk"
  case node = "nod"
  case instance = "ins"
  case operation = "opn"
  case serviceAccount = "sva"
  case key = "key"
  case upload = "upl"
  case request = "req"
  case alias = "ali"
  case environment = "env"
  case secret = "sec"
  case subnet = "sub"
  case model = "mod"
  case process = "prc"
}

/// The kind of a typed id.
public protocol IdentifiedKind: Sendable { static var kind: ResourceKind { get } }

public enum FolderKind: IdentifiedKind { public static let kind = ResourceKind.folder }
public enum ProjectKind: IdentifiedKind { public static let kind = ResourceKind.project }
public enum CheckpointKind: IdentifiedKind { public static let kind = ResourceKind.checkpoint }
public enum NodeKindTag: IdentifiedKind { public static let kind = ResourceKind.node }
public enum InstanceKind: IdentifiedKind { public static let kind = ResourceKind.instance }
public enum OperationKind: IdentifiedKind { public static let kind = ResourceKind.operation }
public enum ServiceAccountKind: IdentifiedKind { public static let kind = ResourceKind.serviceAccount }
public enum KeyKind: IdentifiedKind { public static let kind = ResourceKind.key }
public enum UploadKind: IdentifiedKind { public static let kind = ResourceKind.upload }
public enum RequestKind: IdentifiedKind { public static let kind = ResourceKind.request }
public enum AliasKind: IdentifiedKind { public static let kind = ResourceKind.alias }
public enum EnvironmentKind: IdentifiedKind { public static let kind = ResourceKind.environment }
public enum SecretKind: IdentifiedKind { public static let kind = ResourceKind.secret }
public enum SubnetKind: IdentifiedKind { public static let kind = ResourceKind.subnet }
public enum ModelKind: IdentifiedKind { public static let kind = ResourceKind.model }
public enum ProcessKind: IdentifiedKind { public static let kind = ResourceKind.process }

public typealias FolderID = Identifier<FolderKind>
public typealias ProjectID = Identifier<ProjectKind>
public typealias CheckpointID = Identifier<CheckpointKind>
public typealias NodeID = Identifier<NodeKindTag>
public typealias InstanceID = Identifier<InstanceKind>
public typealias OperationID = Identifier<OperationKind>
public typealias ServiceAccountID = Identifier<ServiceAccountKind>
public typealias KeyID = Identifier<KeyKind>
public typealias UploadID = Identifier<UploadKind>
public typealias AliasID = Identifier<AliasKind>
public typealias EnvironmentID = Identifier<EnvironmentKind>
public typealias SecretID = Identifier<SecretKind>
public typealias SubnetID = Identifier<SubnetKind>
public typealias ModelID = Identifier<ModelKind>
public typealias ProcessID = Identifier<ProcessKind>

/// An opaque id: 20 characters `[a-z0-9]`, the first three say the kind. Ids of different kinds can't be mixed.
public struct Identifier<Kind: IdentifiedKind>: Sendable, Hashable, Comparable, Codable,
  CustomStringConvertible
{
  public static var length: Int { 20 }
  public let text: String

  /// Takes a text that is a well-formed id of this kind, else nil.
  public init?(_ text: String) {
    guard text.utf8.count == Self.length, text.hasPrefix(Kind.kind.rawValue),
      text.utf8.allSatisfy({ (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) })
    else { return nil }
    self.text = text
  }

  /// Makes a new id. The generator is a parameter so that simulations can be repeated.
  public init(using generator: inout some RandomNumberGenerator) {
    let alphabet = Array("abcdefghijklmnopqrstuvwxyz0123456789".utf8)
    var bytes = Array(Kind.kind.rawValue.utf8)
    while bytes.count < Self.length { bytes.append(alphabet[Int.random(in: 0..<36, using: &generator)]) }
    text = String(decoding: bytes, as: UTF8.self)
  }

  /// Makes a new id from the system's random numbers.
  public static func random() -> Self {
    var generator = SystemRandomNumberGenerator()
    return Self(using: &generator)
  }

  public init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard let id = Self(text) else {
      throw DecodingError.dataCorrupted(
        .init(
          codingPath: decoder.codingPath,
          debugDescription: "'\(text)' is not an id of kind \(Kind.kind.rawValue)"))
    }
    self = id
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(text)
  }

  public var description: String { text }
  public static func < (left: Self, right: Self) -> Bool { left.text < right.text }
}

/// Checks names of resources: `[a-z][a-z0-9-]{1,61}[a-z0-9]`.
public enum ResourceName {
  /// Throws `invalidArgument` naming the field when the name is malformed.
  public static func check(_ name: String, field: String = "name") throws(PlatformError) {
    let bytes = Array(name.utf8)
    let lower: (UInt8) -> Bool = { (0x61...0x7a).contains($0) }
    let digit: (UInt8) -> Bool = { (0x30...0x39).contains($0) }
    guard (3...63).contains(bytes.count), lower(bytes[0]),
      lower(bytes[bytes.count - 1]) || digit(bytes[bytes.count - 1]),
      bytes.allSatisfy({ lower($0) || digit($0) || $0 == 0x2d })
    else {
      throw .invalid(
        field,
        "\(field): '\(name)' is not a valid name; use 3 to 63 characters a-z, 0-9 and '-', starting with a letter and not ending with '-'"
      )
    }
  }
}
