# A small chat on Rails: login with a form, rooms over Action Cable, what was said as JSON.
# Keeps each room in a file of FOLDER, flushed to the disk before anybody hears of it.
require "csv"
require "json"
require "rails"
require "action_controller/railtie"
require "action_cable/engine"

FOLDER = Pathname.new(ENV.fetch("FOLDER"))
DEFECT = ENV.fetch("DEFECT", "")
PAGE = 100

# One room: its messages, oldest first.
class Room
  ROOMS = Hash.new { |rooms, name| rooms[name] = Room.new(name) }
  ROOMS_LOCK = Mutex.new

  def self.[](name)
    ROOMS_LOCK.synchronize { ROOMS[name] }
  end

  def initialize(name)
    @name = name
    @lock = Mutex.new
    @spoken = 0
    path = FOLDER.join("rooms", "#{name.unpack1("H*")}.jsonl")
    path.dirname.mkpath
    @file = path.open("a+b")
    whole = @file.read.rpartition("\n").first(2).join
    # A line that the last kill cut short was never told to anybody.
    @file.truncate(whole.bytesize)
    @messages = whole.lines.map { |line| JSON.parse(line) }
  end

  def speak(user, body)
    @lock.synchronize do
      @spoken += 1
      tenth = (@spoken % 10).zero?
      message = { "id" => @messages.size + 1, "body" => body, "user" => user }
      keep(message) unless tenth && DEFECT == "forgets-every-tenth"
      # Broadcast under the lock, so that everybody hears the room in the order in which it is kept.
      ActionCable.server.broadcast("room:#{@name}", message) unless tenth && DEFECT == "drops-every-tenth"
    end
  end

  def page(number)
    @lock.synchronize { @messages[(number - 1) * PAGE, PAGE] || [] }
  end

  private

  def keep(message)
    @file.write("#{JSON.generate(message)}\n")
    @file.fsync
    @messages << message
  end
end

class ChatApp < Rails::Application
  config.load_defaults 6.1
  config.root = FOLDER
  config.eager_load = true
  config.consider_all_requests_local = false
  config.logger = ActiveSupport::Logger.new($stdout)
  config.log_level = :warn
  config.secret_key_base = ENV.fetch("SECRET_KEY_BASE")
  config.session_store :cookie_store, key: "_chat_session"
  config.action_controller.allow_forgery_protection = true
  config.action_cable.allowed_request_origins = ["http://127.0.0.1:#{ENV.fetch("PORT")}"]
  config.action_cable.mount_path = "/cable"
end
ActionCable.server.config.cable = { "adapter" => "async" }

USERS = CSV.read(ENV.fetch("USERS"), headers: true).to_h { |row| [row["email"], row.to_h] }

class ChatController < ActionController::Base
  protect_from_forgery with: :exception

  FORM = <<~HTML.freeze
    <!doctype html>
    <title>Chat</title>
    <form action="/login" method="post">
      <%= hidden_field_tag :authenticity_token, form_authenticity_token, id: nil %>
      <input name="email" type="email">
      <input name="password" type="password">
      <button>Log in</button>
    </form>
  HTML

  def form
    render inline: FORM
  end

  def login
    user = USERS[params[:email].to_s]
    known = user && ActiveSupport::SecurityUtils.secure_compare(user["password"], params[:password].to_s)
    return render plain: "Wrong e-mail or password\n", status: :unauthorized unless known

    reset_session
    session[:user] = user["name"]
    redirect_to "/"
  end

  def home
    return redirect_to "/login" unless session[:user]

    render plain: "Hello #{session[:user]}\n"
  end

  def messages
    return head :unauthorized unless session[:user]

    page = [params.fetch(:page, 1).to_i, 1].max
    render json: Room[params[:room]].page(page).map { |message| message.slice("id", "body", "user") }
  end
end

module ApplicationCable
  class Connection < ActionCable::Connection::Base
    identified_by :user

    def connect
      session = cookies.encrypted["_chat_session"]
      self.user = (session && session["user"]) || reject_unauthorized_connection
    end
  end

  class Channel < ActionCable::Channel::Base
  end
end

class ChatChannel < ApplicationCable::Channel
  def subscribed
    params[:room].present? ? stream_from("room:#{params[:room]}") : reject
  end

  def speak(data)
    Room[params[:room]].speak(user, data["body"].to_s)
  end
end

ChatApp.initialize!
ChatApp.routes.draw do
  root "chat#home"
  get "/login", to: "chat#form"
  post "/login", to: "chat#login"
  get "/rooms/:room/messages", to: "chat#messages", constraints: { room: %r{[^/]+?} }, defaults: { format: "json" }
end

run ChatApp
