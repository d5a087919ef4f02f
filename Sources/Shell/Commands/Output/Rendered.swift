internal import ControlClient
internal import FoundationEssentials

/// How a command prints.
enum OutputFormat: String, Sendable { case table, json, yaml, name }

/// Values as trees for printing.
enum Rendered {
  static func json(_ value: some Encodable) throws(CommandFailure) -> JSONTree {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do { return try JSONTree(parsing: Array(try encoder.encode(value))) } catch {
      throw CommandFailure(.failed, "the answer can't be printed: \(error)")
    }
  }
}
