/// A `.proto` file as a value: its text and its descriptor are made of it, so they can't differ.
public struct ProtoFile: Sendable, Equatable {
  /// The type of a field.
  public indirect enum FieldType: Sendable, Equatable {
    case double, float, int64, uint64, int32, uint32, bool, string, bytes
    /// A message by its full name, like `google.protobuf.Struct`.
    case message(String)
    case enumeration(String)
    /// `map<string, value>`
    case map(FieldType)
  }

  public struct Field: Sendable, Equatable {
    public enum Label: Sendable { case plain, optional, repeated }
    public var name: String
    public var number: Int
    public var type: FieldType
    public var label: Label
    /// The group of alternatives the field belongs to.
    public var oneof: String?
    /// The name in JSON where it is not the usual one.
    public var jsonName: String?
    public var comment: String?

    public init(
      _ name: String, _ number: Int, _ type: FieldType, _ label: Label = .plain, oneof: String? = nil,
      jsonName: String? = nil, comment: String? = nil
    ) {
      self.name = name
      self.number = number
      self.type = type
      self.label = label
      self.oneof = oneof
      self.jsonName = jsonName
      self.comment = comment
    }
  }

  public struct EnumType: Sendable, Equatable {
    public var name: String
    /// Names of the values 0, 1...
    public var values: [String]

    public init(_ name: String, _ values: [String]) {
      self.name = name
      self.values = values
    }
  }

  public struct Message: Sendable, Equatable {
    public var name: String
    public var fields: [Field]
    public var enums: [EnumType]
    public var comment: String?

    public init(_ name: String, _ fields: [Field] = [], enums: [EnumType] = [], comment: String? = nil) {
      self.name = name
      self.fields = fields
      self.enums = enums
      self.comment = comment
    }

    /// Alternatives in the order of their first fields.
    var oneofs: [String] {
      var seen: [String] = []
      for field in fields {
        if let oneof = field.oneof, !seen.contains(oneof) { seen.append(oneof) }
      }
      return seen
    }
  }

  public struct Method: Sendable, Equatable {
    public var name: String
    /// Full names of the messages.
    public var input: String
    public var output: String
    public var clientStreams: Bool
    public var serverStreams: Bool
    public var comment: String?

    public init(
      _ name: String, _ input: String, _ output: String, clientStreams: Bool = false,
      serverStreams: Bool = false, comment: String? = nil
    ) {
      self.name = name
      self.input = input
      self.output = output
      self.clientStreams = clientStreams
      self.serverStreams = serverStreams
      self.comment = comment
    }
  }

  public struct Service: Sendable, Equatable {
    public var name: String
    public var methods: [Method]
    public var comment: String?

    public init(_ name: String, _ methods: [Method], comment: String? = nil) {
      self.name = name
      self.methods = methods
      self.comment = comment
    }
  }

  /// An option of the file; the number is that of `google.protobuf.FileOptions`.
  public struct Option: Sendable, Equatable {
    public enum Value: Sendable, Equatable {
      case text(String)
      case flag(Bool)
    }
    public var name: String
    public var number: Int
    public var value: Value

    static func text(_ name: String, _ number: Int, _ value: String) -> Option {
      Option(name: name, number: number, value: .text(value))
    }
    static func flag(_ name: String, _ number: Int) -> Option {
      Option(name: name, number: number, value: .flag(true))
    }
  }

  /// The path by which other files import it.
  public var path: String
  public var package: String
  public var imports: [String]
  public var messages: [Message]
  public var enums: [EnumType]
  public var services: [Service]
  public var options: [Option]
  public var comment: String?

  public init(
    _ path: String, package: String, imports: [String] = [], messages: [Message] = [],
    enums: [EnumType] = [], services: [Service] = [], options: [Option] = [], comment: String? = nil
  ) {
    self.path = path
    self.package = package
    self.imports = imports
    self.messages = messages
    self.enums = enums
    self.services = services
    self.options = options
    self.comment = comment
  }

  /// Full names of everything declared, without fields: what a reflection client may ask for.
  public var symbols: [String] {
    var names: [String] = []
    for message in messages {
      names.append("\(package).\(message.name)")
      names += message.enums.map { "\(package).\(message.name).\($0.name)" }
    }
    names += enums.map { "\(package).\($0.name)" }
    for service in services {
      names.append("\(package).\(service.name)")
      names += service.methods.map { "\(package).\(service.name).\($0.name)" }
    }
    return names
  }

  /// Full names of the services.
  public var serviceNames: [String] { services.map { "\(package).\($0.name)" } }
}
