internal import ControlClient
internal import Domain

/// `roost key create`
enum KeyCreate {
  static let accountFlag = Flag(
    "service-account", .text, value: "ACCOUNT", "whose keys; id or name", required: true)

  static let command: Command = Command(
    "key create", "an authorized key for stock clients",
    purpose:
      "Makes an authorized key of a service account and writes it where only you can read it. It is shown only now.",
    flags: [
      accountFlag,
      Flag("out", .text, value: "FILE", "where to write the key, as JSON; - prints it", required: true),
      Flag("description", .text, "what it is for"),
    ], examples: ["roost key create --service-account caller --out key.json"],
    run: { context in
      let path = context.parsed.text("out") ?? "-"
      if path != "-", LocalFile.exists(path) {
        throw CommandFailure(.failed, "--out: \(path) exists already; a key file is never overwritten")
      }
      let client = try context.client()
      let account = context.parsed.text("service-account") ?? ""
      let key = try client.createKey(
        of: account, CreateKeyRequest(description: context.parsed.text("description")))
      let file = try Rendered.json(KeyFile(key)).pretty + "\n"
      if path == "-" {
        context.print(file)
      } else {
        do throws(CommandFailure) { try LocalFile.writePrivate(file, to: path) } catch {
          // Nobody will ever have its private half.
          try client.deleteKey(key.id.text, of: account)
          throw error
        }
        context.note("key \(key.id) is in \(path); keep it secret, it can't be shown again")
        try context.show(KeyFile(key, hidingSecret: true), names: [key.id.text]) { "" }
      }
    })
}

/// A key as stock clients read it from a file.
private struct KeyFile: Encodable {
  var id: String
  var serviceAccountID: String
  var createdAt: Timestamp
  var keyAlgorithm: String
  var publicKey: String
  var privateKey: String?

  private enum CodingKeys: String, CodingKey {
    case id
    case serviceAccountID = "service_account_id"
    case createdAt = "created_at"
    case keyAlgorithm = "key_algorithm"
    case publicKey = "public_key"
    case privateKey = "private_key"
  }

  init(_ key: AuthorizedKeyResource, hidingSecret: Bool = false) {
    id = key.id.text
    serviceAccountID = key.serviceAccountId.text
    createdAt = key.createdAt
    keyAlgorithm = key.keyAlgorithm
    publicKey = key.publicKey
    privateKey = hidingSecret ? nil : key.privateKey
  }
}
