"""Portuguese, of Portugal and Brazil."""

from toolguard.listen.numbers import portuguese
from toolguard.listen.words import Language

PORTUGUESE = Language(
    code="pt",
    phrases={
        "filler": "eh,hum,ah,oh,bom,então,por favor,olha,olhe,pois,né,assim,se faz favor,agora,é que",
        "it": "quero,queria,gostaria,gostaria de,pode,podia,poderia,isso,isto,aquilo,o,a,os,as,um,uma,meu,minha,"
        "me,mim,para mim,para nós,para,tudo,reserva,a reserva,consulta,"
        "marcação,pedido,pagamento,eu,é,de,do,da,que,e,nós,com,em,no dia",
        "yes": "sim,ok,okay,tá,tá bom,tá bem,está bem,está bom,certo,claro,bem,muito bem,beleza,perfeito,obrigado,"
        "obrigada,"
        "muito obrigado,muito obrigada,entendi,entendo,mm hm,mhm,uhum,aham,ótimo,sem problema,não tem problema,"
        "sim sim,com certeza,legal,combinado,pode deixar",
        "accept": "sim por favor,pode fazer,pode ser,isso mesmo,exato,exatamente,correto,está correto,força,"
        "faça isso,é isso",
        "no": "não,nao,não não",
        "decline": "não obrigado,não obrigada,é só isso,mais nada,só isso,não é só isso,é tudo",
        "not": "nunca,nem,sem",
        "but": "mas,exceto,porém",
        "hold": "espere,espera,um momento,um momentinho,um segundo,um minuto,um instante,aguarde,peraí,espera aí,"
        "deixe me pensar,deixa eu ver,deixa eu pensar,só um momento,só um minuto,ainda não,calma,só um segundo",
        "stop": "pare,stop,parem,chega",
        "cancel": "cancele,cancela,cancelar,cancele isso,cancela isso,esquece,esqueça,esqueça isso,deixa pra lá,"
        "deixe estar,"
        "deixa estar,não importa,não faça isso,não faz isso,anule,anular,desmarque,desmarcar,não quero mais,"
        "já não quero,desista",
        "keep": "não cancele,não cancela,não pare,continue,continua,pode continuar,siga",
        "change": "em vez de,em vez disso,ao invés de,melhor,quis dizer,quero dizer,queria dizer,mude,muda,mudar,"
        "altere,"
        "alterar,troque,trocar,na verdade,está errado,errado,prefiro,preferia,eu disse,aliás,enganei me,"
        "me enganei,"
        "coloque,põe,ponha,mudei de ideia,remarque,que seja,sejam,antes",
        "offer": "que tal,poderia ser,podia ser,será que dá",
        "also": "também,e também,além disso,e além disso,mais uma coisa,ainda por cima",
        "topic": "a propósito,por falar nisso,outra pergunta,uma pergunta,outra coisa,já agora,mudando de assunto",
        "ask": "o que,onde,quando,por que,porque,quem,como,quanto,quanta,quantos,qual,quais,a que horas,que horas,"
        "há,tem,"
        "vocês têm,têm,pode me dizer,pode dizer me,diga me,me diga,posso,quanto custa,vocês aceitam,tem como",
        "repair": "desculpe,desculpa,perdão,o que disse,pode repetir,repita,alô,olá,está aí,ainda está aí,"
        "está me ouvindo,"
        "está a ouvir me,não ouvi,não entendi,oi,tá aí,tá me ouvindo",
        "am": "da manhã,de manhã",
        "pm": "da tarde,da noite,à noite,à tarde,de tarde,de noite",
    },
    numbers=portuguese(),
    scales={"cem": 100, "cento": 100, "mil": 1000},
    articles="um uma",
    weekdays="segunda/segunda-feira terça/terça-feira quarta/quarta-feira quinta/quinta-feira sexta/sexta-feira "
    "sábado domingo",
    months="janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    today="hoje,amanhã,depois de amanhã",
    units={
        "people": "pessoas,pessoa,convidados,lugares,adultos",
        "nights": "noites,noite",
        "days": "dias,dia",
        "minutes": "minutos,minuto",
        "money": "euros,euro,reais,real,dólares,€,$",
        "count": "bilhetes,ingressos,garrafas,quartos,mesas,mesa",
    },
    at="às,à,pelas,lá pelas,para as,pras",
    oclock="horas,hora,h,em ponto",
    after={"e meia": 30, "e um quarto": 15, "e quinze": 15, "menos um quarto": -15, "e dez": 10, "e vinte": 20,
           "menos dez": -10, "e cinco": 5},
    noon="meio dia",
    midnight="meia noite",
    ordinals="de",
)  # fmt: skip
