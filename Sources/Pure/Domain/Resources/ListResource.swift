/// One page of a listing. `items` is named after the resource on the wire: `{"nodes": [...], "nextPageToken": "..."}`.
public struct ListResource<Item: Sendable & Codable & Equatable>: Sendable, Equatable {
  public var items: [Item]
  /// Give as `page_token` to get the next page; nil at the end.
  public var nextPageToken: String?

  public init(items: [Item], nextPageToken: String? = nil) {
    self.items = items
    self.nextPageToken = nextPageToken
  }
}

/// Resources that stand in listings.
public protocol Listed: Sendable, Codable, Equatable {
  /// The member of a listing that holds them.
  static var listName: String { get }
}

extension FolderResource: Listed { public static let listName = "folders" }
extension ProjectResource: Listed { public static let listName = "projects" }
extension CheckpointResource: Listed { public static let listName = "checkpoints" }
extension AliasResource: Listed { public static let listName = "aliases" }
extension NodeResource: Listed { public static let listName = "nodes" }
extension DeletedNodeResource: Listed { public static let listName = "deletedNodes" }
extension InstanceResource: Listed { public static let listName = "instances" }
extension ZoneResource: Listed { public static let listName = "zones" }
extension SubnetResource: Listed { public static let listName = "subnets" }
extension ReleaseResource: Listed { public static let listName = "releases" }
extension OperationResource: Listed { public static let listName = "operations" }
extension TokenResource: Listed { public static let listName = "tokens" }
extension ServiceAccountResource: Listed { public static let listName = "serviceAccounts" }
extension AuthorizedKeyResource: Listed { public static let listName = "keys" }
extension APIKeyResource: Listed { public static let listName = "apiKeys" }
extension EnvironmentResource: Listed { public static let listName = "environments" }
extension ReplayResource: Listed { public static let listName = "replays" }
extension SecretResource: Listed { public static let listName = "secrets" }
extension ModelResource: Listed { public static let listName = "models" }

extension ListResource: Codable where Item: Listed {
  private struct Key: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    items = try container.decode([Item].self, forKey: Key(stringValue: Item.listName))
    nextPageToken = try container.decodeIfPresent(String.self, forKey: Key(stringValue: "nextPageToken"))
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encode(items, forKey: Key(stringValue: Item.listName))
    try container.encodeIfPresent(nextPageToken, forKey: Key(stringValue: "nextPageToken"))
  }
}

/// A JSON value as text, embedded in a resource as a string.
public typealias JSONText = String
